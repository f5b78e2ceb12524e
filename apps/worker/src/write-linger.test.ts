import { expect, test } from "vitest";
import { writeLingerMs } from "./write-linger.ts";

const hourMs = 3_600_000;

test("a write waits for company while the model is busy, the longer the more it has, and never while it is idle", () => {
  const [idle = NaN, few = NaN, plenty = NaN] = [0, 1, 8].map((calls) => writeLingerMs(calls, 1, 24, hourMs));
  expect(idle).toBe(0);
  expect(few).toBeGreaterThan(idle);
  expect(plenty).toBeGreaterThan(few);
});

test("a write waits for nobody once most of the documents under way wait for it, however much the model still has", () => {
  expect(writeLingerMs(8, 15, 24, hourMs)).toBeGreaterThan(0);
  expect(writeLingerMs(8, 16, 24, hourMs)).toBe(0);
  expect(writeLingerMs(1, 1, 1, hourMs)).toBe(0);
});

test("a write waits no longer than a small share of the worker's life, which a death would take with it", () => {
  expect(writeLingerMs(8, 1, 24, 0)).toBe(0);
  expect(writeLingerMs(8, 1, 24, 2_000)).toBeLessThan(2_000 / 20);
  expect(writeLingerMs(8, 1, 24, 20_000)).toBeGreaterThan(writeLingerMs(8, 1, 24, 2_000));
});
