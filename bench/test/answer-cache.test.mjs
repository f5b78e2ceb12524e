import { limits } from "@millrace/core";
import { beforeAll, expect, test } from "vitest";
import { judgePairs, taken } from "../answer-cache/pairs.mjs";

/** The guards and the floor alone, with the real model: the same evidence, which is asked for besides, cannot help here, since the pairs have none. */
let judged;

beforeAll(async () => {
  judged = await judgePairs();
}, 180_000);

const share = (pairs, options) => taken(pairs, limits.answerSimilarityMin, options).length / pairs.length;

test("the sets are large enough, and no pair is in them twice", () => {
  for (const pairs of [judged.nearMisses, judged.paraphrases]) {
    expect(pairs.length).toBeGreaterThanOrEqual(500);
    expect(new Set(pairs.map(({ a, b }) => [a, b].sort().join("\n").toLowerCase())).size).toBe(pairs.length);
  }
});

test("at most 0.5 % of the near misses are taken for the same question", () => {
  const wrong = taken(judged.nearMisses, limits.answerSimilarityMin).map(({ a, b }) => `${a} | ${b}`);
  expect(wrong.length / judged.nearMisses.length, wrong.join("\n")).toBeLessThanOrEqual(0.005);
});

test("most paraphrases are", () => {
  expect(share(judged.paraphrases)).toBeGreaterThan(0.7);
});

test("control: without the guards most near misses would be", () => {
  expect(share(judged.nearMisses, { guards: false })).toBeGreaterThan(0.5);
});
