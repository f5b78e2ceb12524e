import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { loadConfig } from "@millrace/runtime";
import {
  type FaultMode,
  type FaultProxy,
  startFaultProxy,
  startMilvusLite,
  startRedis,
  type TestMilvusLite,
  type TestRedis,
} from "@millrace/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** What a search says while something it needs is away: 503 within a second, never an empty list; on the built service with real servers. */
const command = fileURLToPath(new URL("../../ingest/bin/millrace.js", import.meta.url));
const run = promisify(execFile);
const port = 7471;
const full = process.env["MILLRACE_CHAOS"] === "full";
const answerMsMax = 1_000;
/** From the return of a server to the first answer. */
const recoveryMsMax = 10_000;

let home: string;
let env: NodeJS.ProcessEnv;
let redis: TestRedis;
let cache: TestRedis;
let milvus: TestMilvusLite;
let redisProxy: FaultProxy;
let milvusProxy: FaultProxy;
let adminKey: string;
let counter = 0;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-outages-"));
  [redis, cache, milvus] = await Promise.all([startRedis(), startRedis(), startMilvusLite()]);
  [redisProxy, milvusProxy] = await Promise.all([startFaultProxy(redis.port), startFaultProxy(milvus.port)]);
  env = {
    ...process.env,
    MILLRACE_HOME: home,
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: String(port),
    MILLRACE_DASHBOARD_PORT: "7472",
    REDIS_QUEUE_URL: `redis://127.0.0.1:${redisProxy.port}`,
    REDIS_CACHE_URL: cache.url,
    MILVUS_ADDRESS: `127.0.0.1:${milvusProxy.port}`,
  };
  await run(process.execPath, [command, "up", "--detach"], { env });
  adminKey = (await readFile(join(home, "admin.key"), "utf8")).trim();
  await writeFile(join(home, "lamp.md"), "# Lamps\n\nThe keeper trims the lamp at dusk.\n");
  await run(process.execPath, [command, "ingest", join(home, "lamp.md")], { env });
});

afterAll(async () => {
  await run(process.execPath, [command, "down"], { env });
  await Promise.all([redisProxy.close(), milvusProxy.close(), redis.stop(), cache.stop(), milvus.stop()]);
  await rm(home, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly hits: number;
  readonly ms: number;
}

/** A question that no cache has seen. */
async function search(): Promise<Answer> {
  const startedAt = performance.now();
  const response = await fetch(`http://127.0.0.1:${port}/v1/search`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    body: JSON.stringify({ query: `who trims lamp number ${++counter}` }),
  });
  const { data = [] } = (await response.json()) as { data?: unknown[] };
  return { status: response.status, hits: data.length, ms: performance.now() - startedAt };
}

/** One after the other and many at once. */
async function searches(): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let index = 0; index < 4; index++) answers.push(await search());
  return [...answers, ...(await Promise.all(Array.from({ length: 8 }, search)))];
}

/** Time until answers are right and stay so: of several connections, some may be back before the others. */
async function recovery(): Promise<number> {
  const startedAt = performance.now();
  let rightSince: number | undefined;
  for (let right = 0; right < 12; ) {
    const { status, hits } = await search();
    if (status === 200) expect(hits).toBe(1);
    else expect(status).toBe(503);
    right = status === 200 ? right + 1 : 0;
    rightSince = right === 0 ? undefined : (rightSince ?? performance.now());
    if (performance.now() - startedAt > recoveryMsMax) throw new Error(`no answer ${recoveryMsMax} ms after the return`);
  }
  return (rightSince ?? 0) - startedAt;
}

const outages: readonly [string, () => unknown, () => unknown][] = [
  ["Milvus is killed", () => milvus.kill(), () => milvus.restart()],
  ["Milvus is frozen", () => process.kill(milvus.pid, "SIGSTOP"), () => process.kill(milvus.pid, "SIGCONT")],
  ["Milvus is behind a black hole", () => put(milvusProxy, "black-hole"), () => put(milvusProxy, "pass")],
  ["the replies of Milvus are swallowed", () => put(milvusProxy, "swallow-replies"), () => put(milvusProxy, "pass")],
  ["Redis is frozen", () => process.kill(redis.pid, "SIGSTOP"), () => process.kill(redis.pid, "SIGCONT")],
  ["Redis is behind a black hole", () => put(redisProxy, "black-hole"), () => put(redisProxy, "pass")],
  ["Redis refuses connections", () => put(redisProxy, "refuse"), () => put(redisProxy, "pass")],
];

function put(proxy: FaultProxy, mode: FaultMode): void {
  proxy.mode = mode;
  if (mode === "refuse") proxy.reset();
}

describe.each(outages)("while %s", (what, begin, end) => {
  test("searches answer 503 within a second, and right again after it", async () => {
    expect(await search()).toMatchObject({ status: 200, hits: 1 });
    await begin();
    let answers: Answer[];
    try {
      answers = await searches();
    } finally {
      await end();
    }
    const slowest = Math.max(...answers.map(({ ms }) => ms));
    const tookMs = await recovery();
    console.log(
      `${what}: ${answers.length} searches, the slowest took ${Math.round(slowest)} ms; right again after ${Math.round(tookMs)} ms`,
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 503));
    const median = answers.map(({ ms }) => ms).sort((a, b) => a - b)[answers.length >> 1];
    expect(median).toBeLessThan(full ? answerMsMax : 2 * answerMsMax);
    // On a machine that does nothing else all of them are held to the bar; beside other tests, to a multiple.
    expect(slowest).toBeLessThan(full ? answerMsMax : 3 * answerMsMax);
  });
});
