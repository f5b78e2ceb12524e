import { setImmediate as immediately } from "node:timers/promises";
import { type ChunkRecord, chunkIdOf, chunkIdsOf, type EmbeddingSpace, parseProjectName } from "@millrace/core";
import { startMilvusLite, startRedis, type TestMilvusLite, type TestRedis } from "@millrace/testing";
import { MilvusVectorStore } from "@millrace/vector-store";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test, vi } from "vitest";

/** Documents whose rows share a write must each end as they would have alone. */
const signal = new AbortController().signal;
const space: EmbeddingSpace = { modelId: "test", fingerprint: "shared", dimension: 8, tokensMax: 256 };
const laneKey = "{test}:lane";
const [p, q] = [parseProjectName("p"), parseProjectName("q")];

let redisServer: TestRedis;
let milvus: TestMilvusLite;
let redis: Redis;
let store: MilvusVectorStore;

beforeAll(async () => {
  [redisServer, milvus] = await Promise.all([startRedis(), startMilvusLite()]);
  redis = new Redis(redisServer.url);
  store = new MilvusVectorStore({ address: milvus.address, redis, space, laneKey, writeLingerMs: () => 100 });
  await store.upsert(recordsOf("first", 1), signal);
});
afterAll(async () => {
  await store.close();
  redis.disconnect();
  await Promise.all([milvus.stop(), redisServer.stop()]);
});

function recordsOf(documentId: string, count: number, project = p): ChunkRecord[] {
  return Array.from({ length: count }, (_, ordinal) => ({
    chunkId: chunkIdOf(project, documentId, "g", ordinal),
    project,
    documentId,
    generation: "g",
    source: documentId,
    mediaType: "text/plain",
    title: "t",
    ingestedAt: 0,
    metadata: {},
    chunk: { ordinal, text: `${documentId} ${ordinal}`, span: { start: 0, end: 1 }, tokens: 3, headings: [] },
    vector: Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0),
  }));
}

/** Each write takes the lane once, and with it a token. */
async function writesOf(work: () => Promise<unknown>): Promise<number> {
  const tokens = async (): Promise<number> => Number(await redis.get(`${laneKey}:fence`));
  const before = await tokens();
  await work();
  return (await tokens()) - before;
}

test("short documents of several projects share writes and look-ups, and each is told of its own rows", async () => {
  const documents = Array.from({ length: 20 }, (_, index) => ({ id: `d${index}`, project: index % 2 === 0 ? p : q }));
  const writes = await writesOf(() => Promise.all(documents.map(({ id, project }) => store.upsert(recordsOf(id, 5, project), signal))));
  expect(writes).toBeLessThanOrEqual(3);
  const found = await Promise.all(documents.map(({ id, project }) => store.existing(project, chunkIdsOf(project, id, "g", 7), signal)));
  for (const [index, { id, project }] of documents.entries()) expect([...(found[index] ?? [])]).toEqual(chunkIdsOf(project, id, "g", 5));
  // A key of another project is not there for this one.
  const [foreign, own] = await Promise.all([
    store.existing(p, chunkIdsOf(q, "d1", "g", 5), signal),
    store.existing(q, chunkIdsOf(q, "d1", "g", 5), signal),
  ]);
  expect([foreign.size, own.size]).toEqual([0, 5]);
});

test("a row that the server refuses fails its own document and none of those that went with it", async () => {
  const refused = recordsOf("refused", 1).map((record) => ({ ...record, chunkId: "k".repeat(100) }));
  const outcomes = await Promise.allSettled([
    store.upsert(recordsOf("a", 3), signal),
    store.upsert(refused, signal),
    store.upsert(recordsOf("b", 3), signal),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect((await store.existing(p, [...chunkIdsOf(p, "a", "g", 3), ...chunkIdsOf(p, "b", "g", 3)], signal)).size).toBe(6);
});

test("a document that is given up while it waits for company is not written, and those it waited with are", async () => {
  await store.upsert(recordsOf("before", 1), signal);
  const leaving = new AbortController();
  const given = store.upsert(recordsOf("given-up", 1), leaving.signal);
  const other = store.upsert(recordsOf("other", 1), signal);
  leaving.abort(new Error("gone"));
  await expect(given).rejects.toThrow("gone");
  await other;
  expect((await store.existing(p, [...chunkIdsOf(p, "given-up", "g", 1), ...chunkIdsOf(p, "other", "g", 1)], signal)).size).toBe(1);
});

test("writes wait for company as long as they are told to, by how many of them wait, and leave together", async () => {
  const writeLingerMs = (waiting: number): number => (waiting < 2 ? 600_000 : 0);
  const patient = new MilvusVectorStore({ address: milvus.address, redis, space, laneKey, writeLingerMs });
  await patient.upsert(recordsOf("alone", 1), signal); // nobody was there before it
  await expect(patient.upsert(recordsOf("given up", 1), AbortSignal.timeout(1_000))).rejects.toThrow("timeout");
  const waiting = patient.upsert(recordsOf("waiting", 1), signal);
  await immediately(); // it has been looked at, and waits
  const writes = await writesOf(() => Promise.all([waiting, patient.upsert(recordsOf("last", 1), signal)]));
  expect(writes).toBe(1);
  await patient.close();
});

test("no JSON is made of the rows of a write", async () => {
  const stringify = vi.spyOn(JSON, "stringify");
  await store.upsert(recordsOf("many", 50), signal);
  const lengths = stringify.mock.results.map(({ value }) => String(value).length);
  stringify.mockRestore();
  // The keys that come back, but no row.
  expect(Math.max(...lengths)).toBeLessThan(5_000);
});
