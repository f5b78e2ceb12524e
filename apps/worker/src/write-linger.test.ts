import { expect, test } from "vitest";
import { writeLingerMs } from "./write-linger.ts";

test("a write waits for company while the model is busy, the longer the more it has, and never while it is idle", () => {
  const [idle = NaN, few = NaN, plenty = NaN] = [0, 1, 8].map(writeLingerMs);
  expect(idle).toBe(0);
  expect(few).toBeGreaterThan(idle);
  expect(plenty).toBeGreaterThan(few);
});
