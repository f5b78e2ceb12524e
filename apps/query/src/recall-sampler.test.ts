import { setTimeout as delay } from "node:timers/promises";
import { chunkIdOf, HashEmbedder, MemoryVectorStore, parseProjectName, type StoredHit } from "@millrace/core";
import type { DocumentEntry } from "@millrace/ledger";
import { createLogger } from "@millrace/runtime";
import { seeded } from "@millrace/testing";
import { expect, test } from "vitest";
import { RecallSampler } from "./recall-sampler.ts";

const project = parseProjectName("p");
const signal = new AbortController().signal;
const embedder = new HashEmbedder({ dimension: 32 });

async function filledStore(rows: number): Promise<MemoryVectorStore> {
  const store = new MemoryVectorStore(32);
  const texts = Array.from({ length: rows }, (_, ordinal) => `chunk ${ordinal} about thing ${ordinal % 17}`);
  const vectors = await embedder.embed(texts, signal);
  await store.upsert(
    texts.map((text, ordinal) => ({
      chunkId: chunkIdOf(project, "d", "g", ordinal),
      project,
      documentId: "d",
      generation: "g",
      source: "d.md",
      mediaType: "text/plain",
      title: "",
      ingestedAt: 0,
      metadata: {},
      chunk: { ordinal, text, span: { start: 0, end: text.length }, headings: [], tokens: 5 },
      vector: vectors[ordinal] ?? new Float32Array(32),
    })),
    signal,
  );
  return store;
}

/** The recall that is measured of an index that answers with what `lossy` leaves of the exact hits. */
async function measured(
  rows: number,
  lossy: (hits: StoredHit[]) => StoredHit[],
  hitsCount: number,
  queries = 20,
): Promise<Record<number, number>> {
  const store = await filledStore(rows);
  const sampler = new RecallSampler({
    ledger: { sampleLive: async () => [{ documentId: "d", liveGeneration: "g", liveChunks: rows } as DocumentEntry] },
    store,
    logger: createLogger("test", "silent"),
    share: 1,
    random: seeded(3),
  });
  for (let query = 0; query < queries; query++) {
    const [vector = new Float32Array(32)] = await embedder.embed([`chunk about thing ${query}`], signal);
    const search = { project, vector, limit: hitsCount };
    await sampler.observe(search, lossy(await store.search({ ...search, limit: hitsCount * 2 }, signal)).slice(0, hitsCount));
  }
  expect(sampler.checked).toBe(queries);
  return Object.fromEntries([...sampler.counts].map(([depth, { expected, returned }]) => [depth, returned / expected]));
}

const everyFourthLost = (hits: StoredHit[]): StoredHit[] => hits.filter((_, index) => index % 4 !== 1);

test("an exact index has recall 1", async () => {
  expect(await measured(300, (hits) => hits, 100)).toEqual({ 10: 1, 100: 1 });
});

test("an index that leaves every fourth row out has about three quarters", async () => {
  const recall = await measured(300, everyFourthLost, 100);
  for (const depth of [10, 100]) {
    expect(recall[depth]).toBeGreaterThan(0.68);
    expect(recall[depth]).toBeLessThan(0.78);
  }
});

test("so it does where only a part of the rows is looked at", async () => {
  const recall = await measured(6_000, everyFourthLost, 100, 40);
  expect(recall[100]).toBeGreaterThan(0.68);
  expect(recall[100]).toBeLessThan(0.8);
});

test("a row that is gone from the store is no loss, and a search with a filter is left alone", async () => {
  const store = await filledStore(50);
  const sampler = new RecallSampler({
    ledger: { sampleLive: async () => [{ documentId: "d", liveGeneration: "g", liveChunks: 50 } as DocumentEntry] },
    store,
    logger: createLogger("test", "silent"),
    share: 1,
  });
  const [vector = new Float32Array(32)] = await embedder.embed(["chunk about thing 3"], signal);
  const search = { project, vector, limit: 10 };
  const [nearest] = await store.search(search, signal);
  await sampler.observe(search, await store.search(search, signal));
  await store.delete(project, [nearest?.chunkId ?? ""], signal);
  await sampler.observe(search, await store.search(search, signal));
  const { expected = 0, returned } = sampler.counts.get(10) ?? {};
  expect(expected).toBeGreaterThan(10);
  expect(returned).toBe(expected);
  await sampler.observe({ ...search, filter: { type: "eq", key: "title", value: "" } }, []);
  expect(sampler.checked).toBe(2);
});

test("reads its sample a little at a time, and leaves the store to others in between", async () => {
  const store = await filledStore(200);
  const reads: { rows: number; from: number; to: number }[] = [];
  const sampler = new RecallSampler({
    ledger: { sampleLive: async () => [{ documentId: "d", liveGeneration: "g", liveChunks: 200 } as DocumentEntry] },
    store: {
      existing: (...asked) => store.existing(...asked),
      vectors: async (of, chunkIds, until) => {
        const from = performance.now();
        await delay(10);
        reads.push({ rows: chunkIds.length, from, to: performance.now() });
        return store.vectors(of, chunkIds, until);
      },
    },
    logger: createLogger("test", "silent"),
    share: 1,
  });
  const [vector = new Float32Array(32)] = await embedder.embed(["thing 3"], signal);
  await sampler.observe({ project, vector, limit: 10 }, await store.search({ project, vector, limit: 10 }, signal));
  expect(reads.map(({ rows }) => rows)).toEqual([50, 50, 50, 50]);
  for (const [index, { from }] of reads.slice(1).entries()) {
    const { from: began = 0, to: ended = 0 } = reads[index] ?? {};
    expect(from - ended).toBeGreaterThan(3 * (ended - began));
  }
});
