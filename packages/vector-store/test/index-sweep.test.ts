import { seeded, startMilvusLite, type TestMilvusLite } from "@millrace/testing";
import { defaultIndexSettings, type IndexSettings, searchParametersOf, sweepIndexes, tunedLimit } from "@millrace/vector-store";
import { MilvusClient } from "@zilliz/milvus2-sdk-node";
import { afterAll, beforeAll, expect, test } from "vitest";

/** The sweep on Milvus Lite, whose HNSW and IVF (through faiss) obey `ef` and `nprobe`; Millrace itself does not use them there. */
let milvus: TestMilvusLite;
const signal = new AbortController().signal;

beforeAll(async () => {
  milvus = await startMilvusLite();
});
afterAll(() => milvus.stop());

/** Unit vectors around a hundred centres. */
function clustered(count: number, dimension: number, seed: number): Float32Array[] {
  const random = seeded(seed);
  const centres = Array.from({ length: 100 }, () => Array.from({ length: dimension }, () => random() - 0.5));
  return Array.from({ length: count }, () => {
    const centre = centres[Math.floor(random() * centres.length)] ?? [];
    const vector = Float32Array.from(centre, (value) => value + (random() - 0.5) * 0.6);
    const length = Math.hypot(...vector);
    return vector.map((value) => value / length);
  });
}

const ivf = (nprobe: number): IndexSettings => ({ type: "IVF_FLAT", build: { nlist: 64 }, search: { nprobe } });

test("recall rises with nprobe up to 1, an index is built once for its candidates, and nothing is left behind", {
  timeout: 120_000,
}, async () => {
  const vectors = clustered(3_100, 32, 5);
  const queries = vectors.splice(0, 100);
  const told: string[] = [];
  const candidates = [ivf(1), ivf(4), ivf(64), defaultIndexSettings];
  const points = await sweepIndexes(
    { address: { address: milvus.address }, vectors, queries, candidates, onProgress: (text) => told.push(text) },
    signal,
  );
  expect(points.map(({ settings }) => settings)).toEqual(candidates);
  const [one, four, all, graph] = points.map(({ recallAt100 }) => recallAt100);
  expect(one).toBeLessThan(0.9);
  expect(four).toBeGreaterThan(one ?? 1);
  expect(all).toBe(1);
  expect(graph).toBeGreaterThan(0.95);
  for (const { p50Ms, p99Ms, recallAt10 } of points) {
    expect(p50Ms).toBeGreaterThan(0);
    expect(p99Ms).toBeGreaterThanOrEqual(p50Ms);
    expect(recallAt10).toBeLessThanOrEqual(1);
  }
  expect(told.filter((text) => text.startsWith("building"))).toHaveLength(2);
  const client = new MilvusClient({ address: milvus.address, logLevel: "error", telemetry: { enabled: false } });
  await client.connectPromise;
  expect((await client.showCollections()).data).toEqual([]);
  await client.closeConnection();
});

test("ef grows with the hits that are asked for, is never below them, and is by default what it was before it could be tuned", () => {
  for (const limit of [1, 20, 64, tunedLimit, 210, 1_000]) {
    expect(searchParametersOf(defaultIndexSettings, limit)).toEqual({ ef: Math.max(128, 2 * limit) });
    expect(searchParametersOf({ ...defaultIndexSettings, type: "HNSW", search: { ef: 1 } } as IndexSettings, limit)).toEqual({ ef: limit });
  }
  expect(searchParametersOf(ivf(7), 1_000)).toEqual({ nprobe: 7 });
});
