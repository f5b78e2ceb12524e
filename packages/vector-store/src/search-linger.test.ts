import { expect, test } from "vitest";
import { searchLingerMs } from "./search-linger.ts";

const never = (): boolean => false;
const always = (): boolean => true;

test("searches that waited for a request of 80 ms stay for 20 ms, and up to 40 ms as long as more are coming", () => {
  const after = (agoMs: number) => ({ tookMs: 80, agoMs, othersWaited: true });
  expect(searchLingerMs(after(0), never)).toBe(20);
  expect(searchLingerMs(after(4), never)).toBe(16);
  expect(searchLingerMs(after(20), never)).toBe(0);
  expect(searchLingerMs(after(20), always)).toBe(1);
  expect(searchLingerMs(after(39.9), always)).toBe(1);
  expect(searchLingerMs(after(40), always)).toBe(0);
});

test("a search that finds Milvus idle leaves at once, whatever is coming", () => {
  expect(searchLingerMs({ tookMs: 80, agoMs: 1, othersWaited: false }, always)).toBe(0);
});
