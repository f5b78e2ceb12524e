import { getPriority } from "node:os";
import { embeddedText, type ParsedDocument } from "@millrace/core";
import { loadConfig } from "@millrace/runtime";
import { describeEmbedder } from "@millrace/testing";
import { afterAll, expect, test } from "vitest";
import { LocalEmbedder } from "../src/local-embedder.ts";

const { model } = loadConfig();
const { signal } = new AbortController();

// Each text is computed by itself, so its company changes nothing; the rest is the order of additions.
for (const dtype of ["int8", "fp32"] as const) {
  describeEmbedder(
    `LocalEmbedder, ${dtype}`,
    async () => {
      const embedder = new LocalEmbedder({ modelPath: model.path, dtype, processes: 2 });
      return { embedder, close: () => embedder.close() };
    },
    { batchCosineMin: 1 - 1e-5 },
  );
}

const embedder = new LocalEmbedder({ modelPath: model.path, dtype: "int8", processes: 2, niceness: 5 });
afterAll(() => embedder.close());

test("embeds a chunk by the ids that cutting it has found as it does by its text", async () => {
  const text = "The wheel turns while the brook has water. Grain becomes flour, naïve Müller!\n".repeat(40).trim();
  const document: ParsedDocument = { text, blocks: [{ kind: "paragraph", start: 0, end: text.length }], title: "Mills", metadata: {} };
  const chunks = await embedder.chunk(document, { tokensMax: 64, tokensOverlap: 8, tokensMin: 16 }, signal);
  expect(chunks.length).toBeGreaterThan(5);
  expect(chunks.filter(({ header }) => header === "Mills").length).toBeGreaterThan(2);
  const texts = chunks.map(embeddedText);
  const byIds = await embedder.embed(texts, signal);
  // The ids are used once; now the texts are tokenised.
  const byText = await embedder.embed(texts, signal);
  expect(byIds).toEqual(byText);
});

test("shares one call out among its processes, which give way to others", async () => {
  await embedder.embed(
    Array.from({ length: 64 }, (_, index) => `${index} ${"mill race ".repeat(100)}`),
    signal,
  );
  const pids = embedder.pids();
  expect(pids).toHaveLength(2);
  for (const pid of pids) expect(getPriority(pid)).toBe(Math.min(getPriority() + 5, 19));
});

test("asks once more what a dying process had", async () => {
  const texts = Array.from({ length: 96 }, (_, index) => `${index} ${"water on the wheel ".repeat(40)}`);
  const expected = await embedder.embed(texts, signal);
  const call = embedder.embed(texts, signal);
  process.kill(embedder.pids()[0] ?? 0, "SIGKILL");
  expect(await call).toEqual(expected);
});
