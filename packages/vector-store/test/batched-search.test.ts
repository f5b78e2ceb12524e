import {
  type ChunkRecord,
  chunkIdOf,
  type EmbeddingSpace,
  type ProjectName,
  parseFilter,
  parseProjectName,
  type StoreSearch,
} from "@millrace/core";
import { startMilvusLite, startRedis, type TestMilvusLite, type TestRedis } from "@millrace/testing";
import { MilvusVectorStore } from "@millrace/vector-store";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";

/** Searches that share a request must each get what they would have got alone. */
const signal = new AbortController().signal;
const dimension = 8;
const space: EmbeddingSpace = { modelId: "test", fingerprint: "batched", dimension, tokensMax: 256 };

let redisServer: TestRedis;
let milvus: TestMilvusLite;
let redis: Redis;
let store: MilvusVectorStore;

beforeAll(async () => {
  [redisServer, milvus] = await Promise.all([startRedis(), startMilvusLite()]);
  redis = new Redis(redisServer.url);
  store = new MilvusVectorStore({ address: milvus.address, redis, space });
  await store.upsert([...recordsOf("p", 100), ...recordsOf("q", 100)], signal);
});
afterAll(async () => {
  await store.close();
  redis.disconnect();
  await Promise.all([milvus.stop(), redisServer.stop()]);
});

function recordsOf(name: string, count: number): ChunkRecord[] {
  const project = parseProjectName(name);
  return Array.from({ length: count }, (_, ordinal) => ({
    chunkId: chunkIdOf(project, "d", "g", ordinal),
    project,
    documentId: "d",
    generation: "g",
    source: ordinal % 2 === 0 ? "even.md" : "odd.md",
    mediaType: "text/plain",
    title: "t",
    ingestedAt: 0,
    metadata: {},
    chunk: { ordinal, text: `chunk ${ordinal}`, span: { start: 0, end: 1 }, tokens: 3, headings: [] },
    vector: pointing(ordinal),
  }));
}

function pointing(ordinal: number): Float32Array {
  const angle = ordinal * 0.01;
  return Float32Array.of(Math.cos(angle), Math.sin(angle), 0, 0, 0, 0, 0, 0);
}

test("searches asked at once share few requests, and each has its own project, filter, limit and order", async () => {
  const [p, q, empty] = ["p", "q", "nobody"].map((name) => parseProjectName(name)) as [ProjectName, ProjectName, ProjectName];
  const even = parseFilter({ type: "eq", key: "source", value: "even.md" });
  const requests: StoreSearch[] = Array.from({ length: 60 }, (_, index) => ({
    project: [p, q, p, empty][index % 4] ?? p,
    vector: pointing(((index * 7) % 100) + 0.3), // between the rows: equally near ones have no order
    limit: [5, 7, 8, 30][index % 3] ?? 5,
    ...(index % 5 === 0 ? { filter: even } : {}),
  }));
  const before = { ...store.searchCounts };
  const together = await Promise.all(requests.map((request) => store.search(request, signal)));
  const sent = store.searchCounts.batches - before.batches;
  expect(store.searchCounts.requests - before.requests).toBe(60);
  expect(sent).toBeLessThan(25);
  const ids = (hits: readonly { readonly chunkId: string; readonly project: string }[]): string[] =>
    hits.map((hit) => `${hit.project} ${hit.chunkId}`);
  for (const [index, request] of requests.entries()) {
    const alone = await store.search(request, signal);
    expect(ids(together[index] ?? [])).toEqual(ids(alone));
    expect(alone).toHaveLength(request.project === empty ? 0 : request.limit);
    if (request.filter !== undefined) expect(alone.every((hit) => hit.source === "even.md")).toBe(true);
  }
});

test("where fewer rows are left than asked for, each search of a request has its own few", async () => {
  const project = parseProjectName("p");
  const one = parseFilter({ type: "and", filters: [{ type: "eq", key: "source", value: "odd.md" }] });
  const hits = await Promise.all(
    [1, 2, 3].map((ordinal) => store.search({ project, vector: pointing(ordinal), limit: 60, filter: one }, signal)),
  );
  for (const each of hits) expect(each).toHaveLength(50);
});
