/** A query service on real servers, with rows to search in. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chunkIdOf, documentIdOf, parseProjectName } from "@millrace/core";
import { LocalEmbedder } from "@millrace/embedding";
import { Ledger } from "@millrace/ledger";
import { loadConfig } from "@millrace/runtime";
import { startMilvusLite, startRedis } from "@millrace/testing";
import { MilvusVectorStore } from "@millrace/vector-store";
import { Redis } from "ioredis";
import { randomOf } from "../measure/statistics.mjs";
import { root } from "../report/results.mjs";

export const project = parseProjectName("bench");
const chunksPerDocument = 50;
const rowsPerWrite = 2_000;
const signal = new AbortController().signal;

/** @param {{ rows: number, seed: number, port: number }} options */
export async function startSearchStack({ rows, seed, port }) {
  const config = loadConfig();
  const home = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const [queueServer, cacheServer, milvus] = await Promise.all([startRedis(), startRedis(), startMilvusLite()]);
  const queue = new Redis(queueServer.url);
  const embedder = new LocalEmbedder({ modelPath: config.model.path, dtype: config.model.dtype });
  await embedder.start(signal);
  await fill({ queue, milvus, space: embedder.space, rows, seed });
  const service = fork(join(root, "apps/query/dist/main.js"), [], {
    env: {
      PATH: process.env.PATH,
      MILLRACE_HOME: home,
      MILLRACE_RUNTIME: config.runtime,
      MILLRACE_PORT: String(port),
      REDIS_QUEUE_URL: queueServer.url,
      REDIS_CACHE_URL: cacheServer.url,
      MILVUS_ADDRESS: milvus.address,
      MILLRACE_LOG_LEVEL: "error",
    },
    // Where it spends its time, for Chrome's developer tools.
    execArgv: process.env.BENCH_PROFILE === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${process.env.BENCH_PROFILE}`],
  });
  await once(service, "message");
  const key = (await readFile(join(home, "admin.key"), "utf8")).trim();
  const headers = { authorization: `Bearer ${key}`, "x-millrace-project": project };
  return {
    port,
    pid: service.pid,
    headers,
    embedder,
    cacheUrl: cacheServer.url,
    milvusAddress: milvus.address,
    collection: `chunks_${embedder.space.fingerprint}`,
    async metrics() {
      return (await fetch(`http://127.0.0.1:${port}/metrics`, { headers })).text();
    },
    async close() {
      service.kill("SIGTERM");
      await once(service, "exit");
      await embedder.close();
      queue.disconnect();
      await Promise.all([queueServer.stop(), cacheServer.stop(), milvus.stop()]);
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Rows with random directions and texts of some 600 characters, all of them live. */
async function fill({ queue, milvus, space, rows, seed }) {
  const random = randomOf(seed);
  const store = new MilvusVectorStore({ address: milvus.address, redis: queue, space });
  const ledger = new Ledger(queue);
  const words = Array.from({ length: 2_000 }, () =>
    Array.from({ length: 3 + random() * 7 }, () => "etaoinshrdlucmfw"[Math.floor(random() * 16)]).join(""),
  );
  const write = async (first) => {
    const source = `document-${first / chunksPerDocument}.md`;
    const { generation } = await ledger.plan({
      ...{ project, source, contentHash: source, fingerprint: "bench", mediaType: "text/plain", bytes: 1, origin: "", ingestId: "bench" },
    });
    const ref = { project, documentId: documentIdOf(project, source), generation };
    await ledger.begin(ref, "bench");
    await ledger.advance(ref, { chunks: chunksPerDocument, done: 0 });
    const records = Array.from({ length: chunksPerDocument }, (_, ordinal) => {
      const text = Array.from({ length: 90 }, () => words[Math.floor(random() * words.length)]).join(" ");
      const chunk = { ordinal, text, span: { start: 0, end: text.length }, headings: ["Part", "Chapter"], tokens: 200 };
      return {
        ...{ chunkId: chunkIdOf(project, ref.documentId, generation, ordinal), ...ref, source, mediaType: "text/plain", title: source },
        ...{ ingestedAt: 0, metadata: { year: 2_000 + (first % 25) }, chunk, vector: direction(space.dimension, random) },
      };
    });
    return {
      records,
      goLive: () => ledger.switchLive(ref, { chunks: chunksPerDocument, tokens: 1, title: source, metadata: {}, timings: {} }),
    };
  };
  for (let done = 0; done < rows; done += rowsPerWrite) {
    const firsts = Array.from(
      { length: Math.min(rowsPerWrite, rows - done) / chunksPerDocument },
      (_, index) => done + index * chunksPerDocument,
    );
    const documents = await Promise.all(firsts.map(write));
    await store.upsert(
      documents.flatMap(({ records }) => records),
      signal,
    );
    await Promise.all(documents.map(({ goLive }) => goLive()));
  }
  await store.close(); // flushes
}

/** Unit length, every direction as likely as any other. */
function direction(dimension, random) {
  const vector = Float32Array.from({ length: dimension }, () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}
