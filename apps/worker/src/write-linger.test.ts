import { expect, test } from "vitest";
import { writeLingerMs } from "./write-linger.ts";

test("a write waits for company while the model is busy, the longer the more it has, and never while it is idle", () => {
  const [idle = NaN, few = NaN, plenty = NaN] = [0, 1, 8].map((calls) => writeLingerMs(calls, 1, 24));
  expect(idle).toBe(0);
  expect(few).toBeGreaterThan(idle);
  expect(plenty).toBeGreaterThan(few);
});

test("a write waits for nobody once most of the documents under way wait for it, however much the model still has", () => {
  expect(writeLingerMs(8, 15, 24)).toBeGreaterThan(0);
  expect(writeLingerMs(8, 16, 24)).toBe(0);
  expect(writeLingerMs(1, 1, 1)).toBe(0);
});
