import { expect, test } from "vitest";
import type { StoredHit } from "./ports.ts";
import { parseProjectName } from "./project.ts";
import { HashEmbedder } from "./reference/hash-embedder.ts";
import { retrieve } from "./retrieve.ts";
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

test.each(["dense", "keyword", "hybrid"] as const)(
  "%s: only live rows of the own project are answers, whatever the store gives",
  async (mode) => {
    const deps = {
      embedder: new HashEmbedder({ dimension: 8 }),
      store: { search: async () => [...rows], searchKeywords: async () => [...rows] },
      ledger: { liveGenerations: async () => new Map([["d", "live"]]) },
    };
    const hits = await retrieve(parseSearchRequest(project, { query: "anything", mode }), deps, new AbortController().signal);
    expect(hits.map(({ chunkId }) => chunkId)).toEqual(["right"]);
  },
);
