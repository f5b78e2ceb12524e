import { describe, expect, it } from "vitest";
import type { StoredHit } from "./ports.ts";
import { fuse } from "./rank.ts";

const hit = (chunkId: string, score: number): StoredHit => ({
  ...{
    chunkId,
    score,
    project: "p",
    documentId: "d",
    generation: "g",
    source: "s",
    mediaType: "text/plain",
    title: "",
    metadata: {},
    ingestedAt: 0,
    ordinal: 0,
  },
  ...{ text: "", span: { start: 0, end: 0 }, headings: [], tokens: 1 },
});
const even = { dense: 1, keyword: 1 };

describe("fuse", () => {
  it("adds reciprocal ranks, 1 being first in both lists", () => {
    const fused = fuse({ dense: [hit("a", 0.9), hit("b", 0.8)], keyword: [hit("a", 12), hit("c", 7), hit("b", 5)] }, even);
    expect(fused.map(({ chunkId, score, dense, keyword }) => ({ chunkId, score, dense, keyword }))).toEqual([
      { chunkId: "a", score: 1, dense: { rank: 1, score: 0.9 }, keyword: { rank: 1, score: 12 } },
      // (1/62 + 1/63) / (2/61)
      { chunkId: "b", score: expect.closeTo(0.976062, 6), dense: { rank: 2, score: 0.8 }, keyword: { rank: 3, score: 5 } },
      { chunkId: "c", score: expect.closeTo(0.491935, 6), keyword: { rank: 2, score: 7 } },
    ]);
  });

  it("weighs the lists", () => {
    const lists = { dense: [hit("a", 0.9)], keyword: [hit("b", 3)] };
    expect(fuse(lists, { dense: 1, keyword: 0.5 }).map(({ chunkId, score }) => [chunkId, score])).toEqual([
      ["a", expect.closeTo(2 / 3, 9)],
      ["b", expect.closeTo(1 / 3, 9)],
    ]);
    expect(fuse(lists, { dense: 0, keyword: 1 }).map(({ chunkId, score }) => [chunkId, score])).toEqual([
      ["b", 1],
      ["a", 0],
    ]);
  });

  it("orders equals by their key, whichever list they come from", () => {
    expect(fuse({ dense: [hit("b", 1)], keyword: [hit("a", 1)] }, even).map(({ chunkId }) => chunkId)).toEqual(["a", "b"]);
  });
});
