/** Synthetic vectors through the product's own store and writers' lane, on a Milvus Lite of their own. */
import { chunkIdOf, pipelineFingerprintOf } from "@millrace/core";
import { startMilvusLite, startRedis } from "@millrace/testing";
import { MilvusVectorStore } from "@millrace/vector-store";
import { Redis } from "ioredis";
import { Meter } from "../measure/meter.mjs";
import { percentiles, randomOf } from "../measure/statistics.mjs";

const dimension = 384;
const project = "synthetic";
const rowsPerWrite = 128;
const rowsPerDocument = 1_000;
const searches = 30;
const signal = new AbortController().signal;

/** @returns one row per size: rows per second up to there, memory of Milvus Lite, latency of a dense search of 10 */
export async function measureStore(sizes, seed) {
  const [milvus, server] = await Promise.all([startMilvusLite(), startRedis()]);
  const redis = new Redis(server.url);
  const space = { modelId: "random", fingerprint: pipelineFingerprintOf({ model: "random", seed }), dimension, tokensMax: 256 };
  const store = new MilvusVectorStore({ address: milvus.address, space, redis });
  const random = randomOf(seed);
  const rows = [];
  try {
    await store.start(signal);
    let chunks = 0;
    for (const size of sizes) {
      const meter = new Meter(() => [milvus.pid]);
      const startedAt = performance.now();
      const from = chunks;
      for (; chunks < size; chunks += rowsPerWrite)
        await store.upsert(recordsFrom(chunks, Math.min(rowsPerWrite, size - chunks), random), signal);
      chunks = size;
      const seconds = (performance.now() - startedAt) / 1_000;
      const searchMs = await searchLatency(store, random);
      const { storePeakBytes, cpuSeconds } = meter.stop();
      rows.push({ chunks, seconds, chunksPerSecond: (size - from) / seconds, searchMs, storePeakBytes, cpuSeconds });
      console.error(`store: ${chunks} vectors, ${Math.round((size - from) / seconds)} rows/s, search ${Math.round(searchMs.p50)} ms`);
    }
  } finally {
    await store.close();
    redis.disconnect();
    await Promise.all([milvus.stop(), server.stop()]);
  }
  return rows;
}

function recordsFrom(first, count, random) {
  return Array.from({ length: count }, (_, index) => {
    const at = first + index;
    const documentId = `document-${Math.floor(at / rowsPerDocument)}`;
    const ordinal = at % rowsPerDocument;
    return {
      chunkId: chunkIdOf(project, documentId, "1", ordinal),
      project,
      documentId,
      generation: "1",
      source: `${documentId}.md`,
      mediaType: "text/markdown",
      title: "",
      ingestedAt: 0,
      metadata: {},
      chunk: { ordinal, text: `Synthetic text number ${at}. `.repeat(25), span: { start: 0, end: 1 }, tokens: 200, headings: [] },
      vector: unitVector(random),
    };
  });
}

function unitVector(random) {
  const vector = Float32Array.from({ length: dimension }, () => random() - 0.5);
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

async function searchLatency(store, random) {
  const times = [];
  for (let each = 0; each < searches; each++) {
    const startedAt = performance.now();
    const hits = await store.search({ project, vector: unitVector(random), limit: 10 }, signal);
    if (hits.length !== 10) throw new Error(`A search found ${hits.length} instead of 10`);
    times.push(performance.now() - startedAt);
  }
  return percentiles(times);
}
