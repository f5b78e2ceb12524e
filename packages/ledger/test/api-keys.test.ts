import { randomBytes } from "node:crypto";
import { parseProjectName } from "@millrace/core";
import { startRedis, type TestRedis } from "@millrace/testing";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { ApiKeys } from "../src/index.ts";

let server: TestRedis;
let redis: Redis;
/** As two processes have them: each remembers for itself. */
let keys: ApiKeys;
let others: ApiKeys;
const project = parseProjectName("p");

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
beforeEach(async () => {
  await redis.flushall();
  keys = new ApiKeys(redis);
  others = new ApiKeys(redis);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const newApiKeyText = (): string => `mr_${randomBytes(8).toString("hex")}_${randomBytes(32).toString("base64url")}`;

/** And a quarter, for a machine at work. */
const withinASecond = { timeout: 1_250, interval: 20 };

/** Everything that Redis holds, as text. */
async function everythingStored(): Promise<string> {
  const parts: string[] = [];
  for (const name of await redis.keys("*")) {
    const type = await redis.type(name);
    parts.push(name, JSON.stringify(type === "hash" ? await redis.hgetall(name) : await redis.smembers(name)));
  }
  return parts.join("\n");
}

test("a key speaks for its project and scopes, and for nothing else", async () => {
  const text = newApiKeyText();
  const keyId = await keys.register(text, { project, scopes: ["read"], label: "a reader" });
  expect(await others.verify(text)).toMatchObject({ keyId, project, scopes: ["read"] });
  const admin = newApiKeyText();
  await keys.register(admin, { scopes: ["read", "ingest"], label: "" });
  expect(await others.verify(admin)).toMatchObject({ project: undefined, scopes: ["read", "ingest"] });
});

test("its secret is kept nowhere: what is stored, listed or remembered does not hold it", async () => {
  const text = newApiKeyText();
  const keyId = await keys.register(text, { project, scopes: ["read"], label: "" });
  await keys.verify(text);
  const secret = text.slice(-20);
  const stored = await everythingStored();
  expect(stored).toContain(keyId);
  expect(stored).not.toContain(secret);
  expect(stored).toMatch(/"digest":"[0-9a-f]{64}"/);
  expect(JSON.stringify(await keys.list())).not.toContain(secret);
});

test("what differs in one character is none, whichever it is", async () => {
  const text = newApiKeyText();
  await keys.register(text, { project, scopes: ["read"], label: "" });
  for (let at = 0; at < text.length; at++) {
    const other = text[at] === "0" ? "1" : "0";
    expect(await keys.verify(text.slice(0, at) + other + text.slice(at + 1)), `character ${at}`).toBeUndefined();
  }
  for (const wrong of [
    "",
    "mr_",
    text.slice(0, -1),
    `${text}0`,
    ` ${text}`,
    text.toUpperCase(),
    `${text}\u0000`,
    "mr_*_*",
    "x".repeat(100_000),
  ]) {
    expect(await keys.verify(wrong)).toBeUndefined();
  }
  expect(await keys.verify(text)).toBeDefined();
});

test("the digest alone is no key", async () => {
  const text = newApiKeyText();
  const keyId = await keys.register(text, { project, scopes: ["read"], label: "" });
  const { digest = "" } = await redis.hgetall(`millrace:key:${keyId}`);
  for (const stolen of [digest.slice(0, 43), Buffer.from(digest, "hex").toString("base64url")]) {
    expect(await keys.verify(`mr_${keyId}_${stolen}`)).toBeUndefined();
  }
});

test("a revoked key is refused where it was known within a second, and elsewhere at once", async () => {
  const text = newApiKeyText();
  const keyId = await keys.register(text, { project, scopes: ["read"], label: "" });
  expect(await keys.verify(text)).toBeDefined();
  expect(await others.revoke(keyId)).toBe(true);
  expect(await others.revoke(keyId)).toBe(false);
  expect(await others.verify(text)).toBeUndefined();
  await expect.poll(() => keys.verify(text), withinASecond).toBeUndefined();
  expect(await keys.list()).toEqual([]);
});

test("a key that is registered works within a second where it was refused before", async () => {
  const text = newApiKeyText();
  expect(await keys.verify(text)).toBeUndefined();
  await others.register(text, { project, scopes: ["read"], label: "" });
  await expect.poll(() => keys.verify(text), withinASecond).toBeDefined();
});

test("without Redis nobody is let in, and nobody is called wrong", async () => {
  const away = new Redis(1, { maxRetriesPerRequest: 0, retryStrategy: () => null, lazyConnect: true });
  away.on("error", () => undefined);
  await expect(new ApiKeys(away).verify(newApiKeyText())).rejects.toMatchObject({ code: "keys.unavailable", retryable: true });
});
