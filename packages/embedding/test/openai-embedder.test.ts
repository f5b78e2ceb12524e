import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { HashEmbedder } from "@millrace/core";
import type { OpenAiConfig } from "@millrace/runtime";
import { describeEmbedder } from "@millrace/testing";
import { afterEach, expect, test } from "vitest";
import { OpenAiEmbedder } from "../src/openai-embedder.ts";

/** A server on a real socket that answers as a script says; without one, with the vectors of the reference embedder. */
interface Seen {
  readonly input: readonly string[];
  readonly authorization: string | undefined;
  readonly at: number;
}
type Script = (seen: Seen, request: number, response: ServerResponse) => boolean | Promise<boolean>;

const hashed = new HashEmbedder({ dimension: 48, tokensMax: 1_000_000 });
const signal = new AbortController().signal;
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function readBody(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of request) text += String(piece);
  return text;
}

async function serve(script: Script = () => false): Promise<{ url: string; seen: Seen[]; close(): Promise<void> }> {
  const seen: Seen[] = [];
  const server: Server = createServer((request, response) => {
    void (async () => {
      const { input, encoding_format: format } = JSON.parse(await readBody(request)) as { input: string[]; encoding_format: string };
      const call = { input, authorization: request.headers.authorization, at: performance.now() };
      seen.push(call);
      if (await script(call, seen.length, response)) return;
      const vectors = await hashed.embed(input, signal);
      const data = vectors.map((vector, index) => ({
        object: "embedding",
        index,
        embedding: format === "base64" ? Buffer.from(vector.buffer).toString("base64") : [...vector],
      }));
      response.setHeader("content-type", "application/json").end(JSON.stringify({ object: "list", data: data.reverse() }));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, seen, close };
}

function open(url: string, changes: Partial<OpenAiConfig> = {}): OpenAiEmbedder {
  const config: OpenAiConfig = {
    kind: "openai",
    url,
    model: "hashed",
    revision: "",
    dimension: 48,
    tokensMax: 256,
    queryPrefix: "",
    documentPrefix: "",
    concurrency: 2,
    batchTextsMax: 16,
    batchTokensMax: 4_096,
    timeoutMs: 2_000,
    ...changes,
  };
  return new OpenAiEmbedder({ config, key: "secret" });
}

async function opened(script: Script, changes: Partial<OpenAiConfig> = {}): Promise<{ embedder: OpenAiEmbedder; seen: Seen[] }> {
  const server = await serve(script);
  const embedder = open(server.url, changes);
  closers.push(() => embedder.close(), server.close);
  return { embedder, seen: server.seen };
}

function refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): true {
  response.writeHead(status, headers).end(JSON.stringify({ error: { message: "no" } }));
  return true;
}

const texts = (count: number): string[] => Array.from({ length: count }, (_, index) => `text number ${index}`);

describeEmbedder(
  "OpenAI-compatible server",
  async () => {
    const server = await serve();
    const embedder = open(server.url);
    return { embedder, close: () => Promise.all([embedder.close(), server.close()]).then(() => undefined) };
  },
  { batchCosineMin: 1 - 1e-6 },
);

test("batches by count and tokens, sends the key, and keeps to its concurrency", async () => {
  let underWay = 0;
  let most = 0;
  let release = (): void => undefined;
  const second = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { embedder, seen } = await opened(async (_seen, request) => {
    most = Math.max(most, ++underWay);
    if (request === 2) release();
    await second; // the first is held until there are two
    underWay--;
    return false;
  });
  await embedder.embed(texts(40), signal);
  expect(seen.map(({ input }) => input.length).sort()).toEqual([16, 16, 8].sort());
  await embedder.embed(["word ".repeat(100), "word ".repeat(100)], signal);
  expect(seen.every(({ authorization }) => authorization === "Bearer secret")).toBe(true);
  expect(most).toBe(2);
  const { embedder: byTokens, seen: few } = await opened(() => false, { batchTokensMax: 300 });
  await byTokens.embed(["word ".repeat(100), "word ".repeat(100)], signal);
  expect(few).toHaveLength(2);
});

test("waits as long as Retry-After says, and repeats only the batch that failed", async () => {
  const { embedder, seen } = await opened((_seen, request, response) => request === 1 && refuse(response, 429, { "retry-after": "1" }), {
    concurrency: 1,
  });
  expect(await embedder.embed(texts(40), signal)).toHaveLength(40);
  expect(seen).toHaveLength(4);
  const first = seen.filter(({ input }) => input[0] === "text number 0");
  expect((first[1]?.at ?? 0) - (first[0]?.at ?? 0)).toBeGreaterThanOrEqual(990);
});

test("a call that failed for good goes on where it stopped when it is made again", async () => {
  let broken = true;
  const { embedder, seen } = await opened(
    ({ input }, _request, response) => broken && input.includes("text number 20") && refuse(response, 503, { "retry-after": "60" }),
  );
  await expect(embedder.embed(texts(40), signal)).rejects.toMatchObject({ code: "embed.unavailable", retryable: true });
  const before = new Set(seen.flatMap(({ input }) => input).filter((text) => text !== "text number 20"));
  broken = false;
  const asked = seen.length;
  expect(await embedder.embed(texts(40), signal)).toHaveLength(40);
  const again = seen.slice(asked).flatMap(({ input }) => input);
  expect(again).toContain("text number 20");
  expect(again).not.toContain("text number 0");
  expect(before.has("text number 0")).toBe(true);
});

test("halves a batch that the server finds too large", async () => {
  const { embedder, seen } = await opened(({ input }, _request, response) => input.length > 4 && refuse(response, 413));
  expect(await embedder.embed(texts(16), signal)).toHaveLength(16);
  expect(seen.filter(({ input }) => input.length === 4)).toHaveLength(4);
});

test.each([
  [401, "embed.unauthorised", "ConfigError"],
  [404, "embed.model_unknown", "ConfigError"],
  [400, "embed.refused", "InvalidInputError"],
])("status %i is %s at once", async (status, code, name) => {
  const { embedder, seen } = await opened((_seen, _request, response) => refuse(response, status));
  await expect(embedder.embed(["a"], signal)).rejects.toMatchObject({ code, name, retryable: false });
  expect(seen).toHaveLength(1);
});

test.each([
  ["too few vectors", () => []],
  ["a wrong dimension", () => [{ index: 0, embedding: [1, 2, 3] }]],
  ["not a number", () => [{ index: 0, embedding: Array(48).fill("x") }]],
  ["no direction", () => [{ index: 0, embedding: Array(48).fill(0) }]],
])("%s is an error, not a vector", async (_name, data) => {
  const { embedder } = await opened((_seen, _request, response) => {
    response.end(JSON.stringify({ data: data() }));
    return true;
  });
  await expect(embedder.embed(["a"], signal)).rejects.toMatchObject({ name: "DependencyError", retryable: true });
});

test("plain numbers of any length become unit vectors", async () => {
  const { embedder } = await opened((_seen, _request, response) => {
    response.end(JSON.stringify({ data: [{ index: 0, embedding: [3, 4, ...Array(46).fill(0)] }] }));
    return true;
  });
  const [vector] = await embedder.embed(["a"], signal);
  expect([...(vector ?? [])].slice(0, 2)).toEqual([Math.fround(0.6), Math.fround(0.8)]);
});

test("a server that never answers is an outage, and its return is noticed", async () => {
  const { embedder, seen } = await opened((_seen, request) => request === 1, { timeoutMs: 300 });
  expect(await embedder.embed(["a"], signal)).toHaveLength(1);
  expect(seen).toHaveLength(2);
});
