import { expect, test } from "vitest";
import { meanQuality, qualityOf } from "./metrics.ts";

test("a ranking is rated as worked out by hand", () => {
  const grades = new Map([
    ["a", 3],
    ["b", 1],
    ["c", 2],
    ["judged and not relevant", 0],
  ]);
  const { ndcg10, recall10, recall100, reciprocalRank } = qualityOf(["judged and not relevant", "a", "unjudged", "b"], grades);
  // Gains 0 3 0 1 against the ideal 3 2 1.
  expect(ndcg10).toBeCloseTo((3 / Math.log2(3) + 1 / Math.log2(5)) / (3 + 2 / Math.log2(3) + 1 / 2), 12);
  expect([recall10, recall100, reciprocalRank]).toEqual([2 / 3, 2 / 3, 1 / 2]);
});

test("the tenth place counts for nDCG@10 and recall@10, the eleventh only for recall@100", () => {
  const grades = new Map([["wanted", 1]]);
  const others = (count: number): string[] => Array.from({ length: count }, (_, index) => `other ${index}`);
  expect(qualityOf([...others(9), "wanted"], grades)).toEqual({
    ndcg10: 1 / Math.log2(11),
    recall10: 1,
    recall100: 1,
    reciprocalRank: 0.1,
  });
  expect(qualityOf([...others(10), "wanted"], grades)).toMatchObject({ ndcg10: 0, recall10: 0, recall100: 1 });
  expect(qualityOf([...others(100), "wanted"], grades)).toMatchObject({ recall100: 0, reciprocalRank: 1 / 101 });
  expect(qualityOf([], grades)).toEqual({ ndcg10: 0, recall10: 0, recall100: 0, reciprocalRank: 0 });
});

test("more relevant documents than ten places: a full page is ideal", () => {
  const ids = Array.from({ length: 20 }, (_, index) => `d${index}`);
  const grades = new Map(ids.map((id) => [id, 1]));
  expect(qualityOf(ids, grades)).toEqual({ ndcg10: 1, recall10: 0.5, recall100: 1, reciprocalRank: 1 });
});

test("means are over queries", () => {
  const one = { ndcg10: 1, recall10: 1, recall100: 1, reciprocalRank: 1 };
  const none = { ndcg10: 0, recall10: 0, recall100: 0.5, reciprocalRank: 0 };
  expect(meanQuality([one, none])).toEqual({ ndcg10: 0.5, recall10: 0.5, recall100: 0.75, reciprocalRank: 0.5 });
});
