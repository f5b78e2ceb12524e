import { expect, test } from "vitest";
import type { StoredHit } from "./ports.ts";
import { parseProjectName } from "./project.ts";
import { HashEmbedder } from "./reference/hash-embedder.ts";
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

function depsOf(found: readonly StoredHit[]): RetrieveDeps {
  return {
    embedder: new HashEmbedder({ dimension: 8 }),
    store: {
      search: async () => [...found],
      searchKeywords: async () => [...found],
      vectors: async () => found.map(({ chunkId, text }) => ({ chunkId, text, vector: Float32Array.of(1, 0) })),
      read: async () => [...found],
    },
    ledger: {
      liveGenerations: async () => new Map(found.map(({ documentId }) => [documentId, "live"]).filter(([id]) => id !== "e") as never),
    },
  };
}

const find = (fields: object, found = rows) =>
  retrieve(parseSearchRequest(project, { query: "anything", ...fields }), depsOf(found), new AbortController().signal);

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
