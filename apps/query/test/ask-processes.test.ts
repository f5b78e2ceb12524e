import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chunkIdOf, documentIdOf, HashEmbedder, parseProjectName } from "@millrace/core";
import { embeddingSpaceOf } from "@millrace/embedding";
import { Ledger } from "@millrace/ledger";
import { connectRedis, loadConfig } from "@millrace/runtime";
import { freePort, llmChunk, type ScriptedLlm, startMilvusLite, startRedis, startScriptedLlm, type TestServer } from "@millrace/testing";
import { MilvusVectorStore } from "@millrace/vector-store";
import { afterAll, beforeAll, expect, test } from "vitest";

/** Cold questions over four query services, as they run: processes of their own, real Redis and Milvus Lite, and every call to a model counted by its server. */
const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const project = parseProjectName("default");
const signal = new AbortController().signal;
const servers: TestServer[] = [];
const services: { child: ChildProcess; url: string }[] = [];
let home: string;
let llm: ScriptedLlm;
let embeddings: Server;
/** Texts that were embedded. */
const embedded: string[] = [];
let key: string;

beforeAll(async () => {
  const embedder = new HashEmbedder({ dimension: 64 });
  embeddings = createServer((request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => {
      body += part.toString();
    });
    request.once("end", async () => {
      const { input } = JSON.parse(body) as { input: string[] };
      embedded.push(...input);
      const vectors = await embedder.embed(input, signal);
      const data = vectors.map((vector, index) => ({ object: "embedding", index, embedding: [...vector] }));
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ object: "list", data, model: "hash", usage: { prompt_tokens: 1, total_tokens: 1 } }));
    });
  }).listen(0, "127.0.0.1");
  await once(embeddings, "listening");
  llm = await startScriptedLlm();
  home = await mkdtemp(join(tmpdir(), "millrace-ask-"));
  const [queue, cache, milvus] = await Promise.all([startRedis(), startRedis(), startMilvusLite()]);
  servers.push(queue, cache, milvus);
  const environment = {
    PATH: process.env["PATH"],
    MILLRACE_HOME: home,
    MILLRACE_RUNTIME: loadConfig().runtime,
    REDIS_QUEUE_URL: queue.url,
    REDIS_CACHE_URL: cache.url,
    MILVUS_ADDRESS: milvus.address,
    MILLRACE_EMBEDDER: JSON.stringify({
      kind: "openai",
      url: `http://127.0.0.1:${(embeddings.address() as AddressInfo).port}/v1`,
      ...{ model: "hash", dimension: 64, tokensMax: 256 },
    }),
    LLM_BASE_URL: llm.baseUrl,
    LLM_MODEL: "first",
    MILLRACE_LOG_LEVEL: "error",
  };

  const redis = connectRedis(queue.url, "service", () => undefined);
  const store = new MilvusVectorStore({ address: milvus.address, redis, space: embeddingSpaceOf(loadConfig(environment)) });
  const ledger = new Ledger(redis);
  const text = "Honey bees dance to tell each other where the flowers are.";
  const facts = { contentHash: "c", fingerprint: "f", mediaType: "text/markdown", bytes: 1, origin: "", ingestId: "i" } as const;
  const { generation, documentId } = await ledger.plan({ project, source: "bees.md", ...facts });
  const ref = { project, documentId: documentIdOf(project, "bees.md"), generation };
  await ledger.begin(ref, "run");
  const [vector = new Float32Array(64)] = await embedder.embed([text], signal);
  const chunk = { ordinal: 0, text, span: { start: 0, end: text.length }, headings: [], tokens: 15 };
  const chunkId = chunkIdOf(project, documentId, generation, 0);
  await store.upsert(
    [{ chunkId, ...ref, source: "bees.md", mediaType: "text/markdown", title: "Bees", ingestedAt: 0, metadata: {}, chunk, vector }],
    signal,
  );
  await ledger.switchLive(ref, { chunks: 1, tokens: 15, title: "Bees", metadata: {}, timings: {} });
  await store.close();
  redis.disconnect();

  for (let index = 0; index < 4; index++) {
    const port = await freePort();
    const child = fork(main, [], { env: { ...environment, MILLRACE_PORT: String(port) } });
    services.push({ child, url: `http://127.0.0.1:${port}` });
    // One after the other: the first one writes the admin key.
    const [started] = (await Promise.race([once(child, "message"), once(child, "exit")])) as [unknown];
    if (typeof started !== "object") throw new Error(`A query service ended with ${String(started)} before it was ready`);
  }
  key = (await readFile(join(home, "admin.key"), "utf8")).trim();
}, 120_000);
afterAll(async () => {
  for (const { child } of services) if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
  await Promise.all(services.map(({ child }) => (child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined)));
  await Promise.all(servers.map((server) => server.stop()));
  await llm.close();
  embeddings.close();
  await rm(home, { recursive: true, force: true });
});

/** Replies that told a caller to come back. */
let sentBack = 0;

/** A caller that does as it is told: on a busy machine a thousand at once are more than Redis is read for in time, and some get a 503 with `Retry-After`. */
async function ask(url: string, question: string, stream = false): Promise<string> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  for (let tries = 1; ; tries++) {
    const response = await fetch(`${url}/v1/ask`, { method: "POST", headers, body: JSON.stringify({ question, stream }) });
    const text = await response.text();
    // A stream has begun before it is known: there the status is told as an event, which has no place for the time.
    const status = text.startsWith('event: error\ndata: {"status":503') ? 503 : response.status;
    if (status !== 503 || tries === 5) return text;
    sentBack++;
    await delay(Number(response.headers.get("retry-after") ?? 2) * 1_000);
  }
}

/** Says it after a while. */
const speaks = (afterMs: number): void =>
  llm.play((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(llmChunk("They "));
    setTimeout(() => response.end(`${llmChunk("dance [1].", "stop")}data: [DONE]\n\n`), afterMs);
  });

test("1,000 who ask the same at the same time cost one embedding of it and one call of the model", async () => {
  // Connections and code are warm: what is counted is the question, not the start.
  speaks(0);
  await Promise.all(services.map(({ url }, index) => ask(url, `warm up ${index}`)));
  const question = "how do bees tell where flowers are";
  speaks(1_000);
  const answers = await Promise.all(
    Array.from({ length: 1_000 }, (_, index) => ask(services[index % 4]?.url ?? "", question, index % 10 === 0)),
  );
  console.log(`${sentBack} of 1,000 were told to come back`);
  for (const answer of answers) expect(answer).toContain("They dance [1].");
  expect(answers.filter((answer) => answer.includes('"cache":"miss"'))).toHaveLength(1);
  expect(answers.filter((answer) => answer.includes('"cache":"hit"'))).toHaveLength(999);
  expect(embedded.filter((text) => text === question)).toHaveLength(1);
  expect(llm.requests).toHaveLength(1);
}, 60_000);

test("when the process that asks the model is killed, another one asks, and everybody else gets an answer", async () => {
  const question = "where do honey bees say the flowers are";
  let asked = (): void => undefined;
  const first = new Promise<void>((resolve) => {
    asked = resolve;
  });
  llm.play(
    () => asked(), // and never answers
    (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(`${llmChunk("They dance [1].", "stop")}data: [DONE]\n\n`);
    },
  );
  const [doomed, ...others] = services;
  const lost = ask(doomed?.url ?? "", question).catch(() => "lost");
  await first;
  const waiting = others.flatMap(({ url }) => Array.from({ length: 20 }, () => ask(url, question)));
  doomed?.child.kill("SIGKILL");
  expect(await lost).toBe("lost");
  const startedAt = performance.now();
  for (const answer of await Promise.all(waiting)) expect(answer).toContain("They dance [1].");
  expect(performance.now() - startedAt).toBeLessThan(20_000);
  expect(llm.requests).toHaveLength(2);
}, 60_000);
