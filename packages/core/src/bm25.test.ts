import { expect, it } from "vitest";
import { bm25 } from "./bm25.ts";

it("agrees with values computed by hand", () => {
  const texts = [["a", "a", "b"], ["b"], ["c", "d"]];
  const scoreOf = bm25(["a", "c"], texts);
  // idf = ln(1 + 2.5 / 1.5) = 0.980829; mean length 2.
  // a: 2 · 2.2 / (2 + 1.2 · (0.25 + 0.75 · 1.5)) = 1.205479; c: 1 · 2.2 / (1 + 1.2 · (0.25 + 0.75)) = 1
  expect(scoreOf(["a", "a", "b"])).toBeCloseTo(0.980829 * 1.205479, 5);
  expect(scoreOf(["c", "d"])).toBeCloseTo(0.980829, 5);
  expect(scoreOf(["b"])).toBe(0);
});
