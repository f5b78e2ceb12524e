import fc from "fast-check";
import { expect, test } from "vitest";
import { diversify } from "./diversify.ts";

const at = (degrees: number): Float32Array => Float32Array.of(Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180));

test("takes what is worth most beside what was taken", () => {
  const candidates = [
    { score: 0.9, vector: at(0) },
    { score: 0.88, vector: at(1) },
    { score: 0.7, vector: at(60) },
    { score: 0.5, vector: at(75) },
  ];
  // Relevance is 1, 0.95, 0.5, 0. Beside the first: ½ · 0.95 − ½ · 0.9998 < 0, ½ · 0.5 − ½ · 0.5 = 0, ½ · 0 − ½ · 0.26 < 0.
  expect(diversify(candidates, 0.5, 2)).toEqual([0, 2]);
  expect(diversify(candidates, 0.1, 4)).toEqual([0, 1, 2, 3]);
  // Farthest from the first, and then what is least like its nearest.
  expect(diversify(candidates, 1, 4)).toEqual([0, 3, 2, 1]);
});

test("a copy comes last", () => {
  const candidates = [1, 0.99, 0.5, 0.4].map((score, index) => ({ score, vector: at([0, 0, 80, 170][index] ?? 0) }));
  expect(diversify(candidates, 0.7, 4).at(-1)).toBe(1);
});

test("is an order of the candidates, the best first; without diversity their own", () => {
  const candidate = fc.record({ score: fc.double({ min: -1, max: 30, noNaN: true }), angle: fc.integer({ min: 0, max: 359 }) });
  fc.assert(
    fc.property(fc.array(candidate, { minLength: 1, maxLength: 30 }), fc.double({ min: 0, max: 1, noNaN: true }), (drawn, diversity) => {
      const candidates = drawn.map(({ score, angle }) => ({ score, vector: at(angle) })).sort((a, b) => b.score - a.score);
      const order = diversify(candidates, diversity, candidates.length);
      expect(order.toSorted((a, b) => a - b)).toEqual([...candidates.keys()]);
      expect(order[0]).toBe(0);
      expect(diversify(candidates, diversity, 3)).toEqual(order.slice(0, 3));
      expect(diversify(candidates, 0, candidates.length)).toEqual([...candidates.keys()]);
    }),
  );
});

test("a vector that is not known is like no other", () => {
  expect(
    diversify(
      [
        { score: 1, vector: at(0) },
        { score: 0.9, vector: at(0) },
        { score: 0.8, vector: undefined },
      ],
      1,
      3,
    ),
  ).toEqual([0, 2, 1]);
});
