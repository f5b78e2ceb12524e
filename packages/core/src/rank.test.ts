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
  const scoresOf = (hits: readonly { chunkId: string; score: number }[]) => hits.map(({ chunkId, score }) => [chunkId, score]);

  it("by ranks adds reciprocal ranks, 1 being first in both lists", () => {
    const fused = fuse({ dense: [hit("a", 0.9), hit("b", 0.8)], keyword: [hit("a", 12), hit("c", 7), hit("b", 5)] }, even, "ranks");
    expect(fused.map(({ chunkId, score, dense, keyword }) => ({ chunkId, score, dense, keyword }))).toEqual([
      { chunkId: "a", score: 1, dense: { rank: 1, score: 0.9 }, keyword: { rank: 1, score: 12 } },
      // (1/62 + 1/63) / (2/61)
      { chunkId: "b", score: expect.closeTo(0.976062, 6), dense: { rank: 2, score: 0.8 }, keyword: { rank: 3, score: 5 } },
      { chunkId: "c", score: expect.closeTo(0.491935, 6), keyword: { rank: 2, score: 7 } },
    ]);
  });

  it("by scores adds standard scores above two deviations below the mean", () => {
    // Mean 0.6, deviation 0.2: 1, 0 would be worth 3 and 2 there; mean 8 and deviation √14 for the words.
    const dense = [hit("a", 0.8), hit("b", 0.4)];
    const keyword = [hit("b", 13), hit("c", 7), hit("d", 4)];
    const deviation = Math.sqrt((5 ** 2 + 1 + 4 ** 2) / 3);
    const best = 3 + (2 + 5 / deviation);
    const fused = fuse({ dense, keyword }, even, "scores");
    expect(scoresOf(fused)).toEqual([
      ["b", expect.closeTo((1 + 2 + 5 / deviation) / best, 9)],
      ["a", expect.closeTo(3 / best, 9)],
      ["c", expect.closeTo((2 - 1 / deviation) / best, 9)],
      ["d", expect.closeTo((2 - 4 / deviation) / best, 9)],
    ]);
    expect(fused[0]).toMatchObject({ dense: { rank: 2, score: 0.4 }, keyword: { rank: 1, score: 13 } });
  });

  it("by scores, what stands out in one list goes before what is first among equals in the other", () => {
    const flat = Array.from({ length: 20 }, (_, index) => hit(`flat ${index}`, 0.5 - index / 1_000));
    const outstanding = [hit("outstanding", 30), ...Array.from({ length: 19 }, (_, index) => hit(`word ${index}`, 5 - index / 100))];
    expect(fuse({ dense: flat, keyword: outstanding }, even, "scores")[0]?.chunkId).toBe("outstanding");
  });

  it.each(["scores", "ranks"] as const)("weighs the lists, by %s", (fusion) => {
    const lists = { dense: [hit("a", 0.9)], keyword: [hit("b", 3)] };
    expect(scoresOf(fuse(lists, { dense: 1, keyword: 0.5 }, fusion))).toEqual([
      ["a", expect.closeTo(2 / 3, 9)],
      ["b", expect.closeTo(1 / 3, 9)],
    ]);
    expect(scoresOf(fuse(lists, { dense: 0, keyword: 1 }, fusion))).toEqual([
      ["b", 1],
      ["a", 0],
    ]);
  });

  it.each(["scores", "ranks"] as const)("takes lists without hits, or without contrast, by %s", (fusion) => {
    expect(fuse({ dense: [], keyword: [] }, even, fusion)).toEqual([]);
    expect(scoresOf(fuse({ dense: [hit("a", 0.9)], keyword: [] }, even, fusion))).toEqual([["a", 1]]);
    expect(scoresOf(fuse({ dense: [hit("a", 0.9)], keyword: [] }, { dense: 0, keyword: 1 }, fusion))).toEqual([["a", 0]]);
    const equals = fuse({ dense: [hit("b", 1), hit("c", 1)], keyword: [hit("a", 1)] }, even, "scores");
    expect(equals.map(({ chunkId }) => chunkId)).toEqual(["a", "b", "c"]);
  });

  it("orders equals by their key, whichever list they come from", () => {
    expect(fuse({ dense: [hit("b", 1)], keyword: [hit("a", 1)] }, even, "ranks").map(({ chunkId }) => chunkId)).toEqual(["a", "b"]);
  });
});
