import { expect, test } from "vitest";
import type { StoredHit } from "./ports.ts";
import { parseProjectName } from "./project.ts";
import { HashEmbedder } from "./reference/hash-embedder.ts";
import type { Reranker } from "./rerank.ts";
import { type RetrieveDeps, retrieve } from "./retrieve.ts";
import { parseSearchRequest } from "./search-request.ts";

const project = parseProjectName("mine");

function hit(chunkId: string, own: Partial<StoredHit> = {}): StoredHit {
  const facts = {
    source: "a.md",
    mediaType: "text/plain",
    title: "",
    ingestedAt: 0,
    metadata: {},
    ordinal: 0,
    headings: [],
    tokens: 3,
  } as const;
  return { chunkId, project, documentId: "d", generation: "live", text: chunkId, span: { start: 0, end: 1 }, score: 0.5, ...facts, ...own };
}

/** A store that gives back too much, as one would whose own project clause had failed. */
const rows = [hit("right"), hit("foreign", { project: "other" }), hit("replaced", { generation: "old" }), hit("gone", { documentId: "e" })];

function depsOf(found: readonly StoredHit[], reranker?: Reranker): RetrieveDeps {
  return {
    ...(reranker === undefined ? {} : { reranker }),
    embedder: new HashEmbedder({ dimension: 8 }),
    store: {
      search: async () => [...found],
      searchKeywords: async () => [...found],
      vectors: async () =>
        found.map(({ chunkId, title, headings, text }) => ({
          chunkId,
          title,
          headings,
          text,
          vector: text === "apart" ? Float32Array.of(0, 1) : Float32Array.of(1, 0),
        })),
      read: async () => [...found],
    },
    ledger: {
      liveGenerations: async () => new Map(found.map(({ documentId }) => [documentId, "live"]).filter(([id]) => id !== "e") as never),
    },
  };
}

const find = (fields: object, found = rows, reranker?: Reranker) =>
  retrieve(parseSearchRequest(project, { query: "anything", ...fields }), depsOf(found, reranker), new AbortController().signal);

const everything = { group_by: "document", group_size: 5, diversity: 0.5, expand: 3, highlight: true };
test.each([
  ...(["dense", "keyword", "hybrid"] as const).flatMap(
    (mode) =>
      [
        [mode, { mode }],
        [`${mode} with all options`, { mode, ...everything }],
      ] as const,
  ),
])("%s: only live rows of the own project are answers, whatever the store gives", async (_, fields) => {
  const hits = await find(fields);
  expect(hits.map(({ chunkId }) => chunkId)).toEqual(["right"]);
  expect(JSON.stringify(hits)).not.toMatch(/foreign|replaced|gone/);
});

test("hits below the minimal score are left out, by the scale of the mode", async () => {
  const found = [hit("a", { score: 0.9 }), hit("b", { score: 0.4 })];
  const idsOf = async (fields: object) => (await find(fields, found)).map(({ chunkId }) => chunkId);
  expect(await idsOf({ mode: "dense", min_score: 0.4 })).toEqual(["a", "b"]);
  expect(await idsOf({ mode: "dense", min_score: 0.41 })).toEqual(["a"]);
  // First in both lists, and second: 1 and 61/62, whatever their scores were; 3 and 1 deviations from nothing.
  expect(await idsOf({ fusion: "ranks", min_score: 0.95 })).toEqual(["a", "b"]);
  expect(await idsOf({ fusion: "ranks", min_score: 0.99 })).toEqual(["a"]);
  expect(await idsOf({ min_score: 0.33 })).toEqual(["a", "b"]);
  expect(await idsOf({ min_score: 0.34 })).toEqual(["a"]);
});

test("grouped hits stand together, in the order of the best of each", async () => {
  const found = ["x", "y", "x", "z", "x", "y"].map((documentId, index) =>
    hit(`${documentId}${index}`, { documentId, score: 1 - index / 10 }),
  );
  const idsOf = async (fields: object) =>
    (await find({ mode: "dense", group_by: "document", ...fields }, found)).map(({ chunkId }) => chunkId);
  expect(await idsOf({})).toEqual(["x0", "y1", "z3"]);
  expect(await idsOf({ top_k: 2, group_size: 2 })).toEqual(["x0", "x2", "y1", "y5"]);
});

test("an option that was not asked for leaves no trace", async () => {
  const [plain] = await find({});
  expect(plain).not.toHaveProperty("context");
  expect(plain).not.toHaveProperty("highlights");
  expect((await find({ expand: 1, highlight: true }))[0]).toMatchObject({ context: { firstOrdinal: 0 }, highlights: [] });
});

test("hits differ where that is asked for, and tell what matches", async () => {
  const found = [hit("best", { score: 0.9 }), hit("copy", { score: 0.8 }), hit("other", { score: 0.7, text: "apart" })];
  const idsOf = async (fields: object) => (await find({ mode: "dense", top_k: 2, ...fields }, found)).map(({ chunkId }) => chunkId);
  expect(await idsOf({})).toEqual(["best", "copy"]);
  expect(await idsOf({ diversity: 0.8 })).toEqual(["best", "other"]);
  const [marked] = await find({ mode: "dense", highlight: true }, [hit("h", { text: "is there anything" })]);
  expect(marked?.highlights).toEqual([{ start: 9, end: 17 }]);
});

test("the reranker puts the best in order, whole groups of them; every hit keeps its standing of before", async () => {
  const found = Array.from({ length: 80 }, (_, index) =>
    hit(`c${index}`, { documentId: `d${index % 40}`, score: 1 - index / 100, text: `text ${index}` }),
  );
  const asked: string[] = [];
  const reranker: Reranker = {
    fingerprint: "r",
    score: async (_query, texts) => {
      asked.push(...texts);
      // Just the other way round.
      return texts.map((text) => Number(text.slice(5)) / 100);
    },
  };
  const idsOf = async (fields: object) =>
    (await find({ mode: "dense", rerank: true, ...fields }, found, reranker)).map(({ chunkId }) => chunkId);
  expect(await idsOf({ top_k: 3 })).toEqual(["c49", "c48", "c47"]);
  expect(asked).toHaveLength(50);
  expect((await find({ mode: "dense", rerank: true, top_k: 1 }, found, reranker))[0]).toMatchObject({
    ...{ score: 0.49, retrieved: { rank: 50, score: 0.51 }, dense: { rank: 50, score: 0.51 } },
  });
  expect(await idsOf({ top_k: 10, min_score: 0.48 })).toEqual(["c49", "c48"]);
  expect(await idsOf({ top_k: 2, group_by: "document", group_size: 2 })).toEqual(["c64", "c24", "c63", "c23"]);
});

test("without a reranker a request for one is refused", async () => {
  await expect(find({ rerank: true })).rejects.toMatchObject({ code: "query.no_reranker" });
});
