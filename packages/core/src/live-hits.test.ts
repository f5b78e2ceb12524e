import { expect, test } from "vitest";
import type { ChunkRecord } from "./document.ts";
import { chunkIdOf } from "./identity.ts";
import { type LiveHitsRequest, liveHits } from "./live-hits.ts";
import { parseProjectName } from "./project.ts";
import { MemoryVectorStore } from "./reference/memory-vector-store.ts";

const project = parseProjectName("mine");
const signal = new AbortController().signal;
const vector = Float32Array.of(1, 0);

/** Documents by the number of their chunks; those of the first are nearest to the query, and so on. */
async function storeOf(counts: Readonly<Record<string, number>>): Promise<MemoryVectorStore> {
  const store = new MemoryVectorStore(2);
  let angle = 0;
  const records = Object.entries(counts).flatMap(([documentId, count]) =>
    Array.from({ length: count }, (_, ordinal): ChunkRecord => {
      angle += 0.0001;
      const facts = { source: documentId, mediaType: "text/plain", title: "", ingestedAt: 0, metadata: {} } as const;
      const chunk = { ordinal, text: "text", span: { start: 0, end: 4 }, headings: [], tokens: 3 };
      const chunkId = chunkIdOf(project, documentId, "live", ordinal);
      return {
        chunkId,
        project,
        documentId,
        generation: "live",
        ...facts,
        chunk,
        vector: Float32Array.of(Math.cos(angle), Math.sin(angle)),
      };
    }),
  );
  await store.upsert(records, signal);
  return store;
}

async function find(store: MemoryVectorStore, request: Omit<LiveHitsRequest, "project">, liveness = (id: string) => id !== "gone") {
  const fetched: number[] = [];
  const ledger = { liveGenerations: async (_: string, ids: readonly string[]) => new Map(ids.filter(liveness).map((id) => [id, "live"])) };
  const hits = await liveHits({ project, ...request }, ledger, async (rows) => {
    const found = await store.search({ ...rows, vector }, signal);
    fetched.push(found.length);
    return found;
  });
  return { hits, documents: [...new Set(hits.map(({ documentId }) => documentId))], fetched };
}

test("documents come back although one of thousands of chunks stands before them", async () => {
  const store = await storeOf({ huge: 5_000, gone: 300, large: 400, a: 1, b: 2, c: 1 });
  const { documents, fetched, hits } = await find(store, { count: 100, groups: { count: 5, size: 1 } });
  expect(documents).toEqual(["huge", "large", "a", "b", "c"]);
  expect(fetched.reduce((sum, rows) => sum + rows)).toBeLessThan(1_500);
  expect(hits.map(({ score }) => score)).toEqual(hits.map(({ score }) => score).toSorted((x, y) => y - x));
  expect((await find(store, { count: 100, groups: { count: 9, size: 1 } })).documents).toEqual(["huge", "large", "a", "b", "c"]);
});

test("a document is left out of what is fetched next only when it has all the hits it may have", async () => {
  const store = await storeOf({ huge: 300, late: 1 });
  const { hits } = await find(store, { count: 10, groups: { count: 2, size: 50 } });
  expect(hits.filter(({ documentId }) => documentId === "huge").length).toBeGreaterThanOrEqual(50);
  expect(hits.at(-1)?.documentId).toBe("late");
});

test("a document that is replaced between two fetches is no answer in its old version", async () => {
  const store = await storeOf({ replaced: 200, a: 1, b: 1 });
  let calls = 0;
  const { documents } = await find(store, { count: 10, groups: { count: 3, size: 1 } }, (id) => id !== "replaced" || calls++ === 0);
  expect(documents).toEqual(["a", "b"]);
});

test("nothing is fetched beyond the minimal score", async () => {
  const store = await storeOf({ huge: 5_000, a: 1 });
  const { fetched } = await find(store, { count: 100, groups: { count: 2, size: 1 }, minScore: 0.999999 });
  expect(fetched).toEqual([104]);
});

test("rows of versions that are no answers cost a second search only where too few are left", async () => {
  const store = await storeOf({ gone: 20, mine: 300 });
  const candidates = await find(store, { count: 100, enough: 75 });
  expect(candidates.fetched).toHaveLength(1);
  expect(candidates.hits.length).toBeGreaterThanOrEqual(75);
  expect(candidates.hits.length).toBeLessThan(100);
  for (const enough of [{}, { enough: 99 }]) {
    const { fetched, hits } = await find(store, { count: 100, ...enough });
    expect([fetched.length, hits.length]).toEqual([2, 100]);
  }
});
