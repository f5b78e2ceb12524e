import { expect, test } from "vitest";
import { embedQuery } from "./embed-query.ts";
import { HashEmbedder } from "./reference/hash-embedder.ts";

const embedder = new HashEmbedder({ dimension: 64, tokensMax: 8 });
const embed = (query: string): Promise<Float32Array> => embedQuery(query, embedder, new AbortController().signal);

test("a query longer than the model reads stands where its parts do, and no word is left out", async () => {
  const short = await embed("bees moon");
  const long = await embed("bees moon ".repeat(40).trim());
  expect(Math.max(...short.map((value, index) => Math.abs(value - (long[index] ?? 9))))).toBeLessThan(1e-6);
  const last = await embed(`${"bees moon ".repeat(40)}tides`);
  const slot = (await embed("tides")).indexOf(1);
  expect(long[slot]).toBe(0);
  expect(last[slot]).toBeGreaterThan(0);
});

test.each(["x".repeat(400), `a ${"y".repeat(400)}`, `${"z".repeat(400)} b`])("however it is cut, it has a direction: %s", async (query) => {
  expect(Math.hypot(...(await embed(query)))).toBeCloseTo(1, 5);
});
