import type { Embedder } from "@millrace/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

export interface EmbedderConformanceOptions {
  /**
   * Cosine at least between vectors of the same text embedded alone and in company. Below 1 only where arithmetic depends on the batch: dynamic
   * quantisation takes its scale from all the texts that are computed together.
   */
  readonly batchCosineMin: number;
}

interface OpenEmbedder {
  readonly embedder: Embedder;
  close(): Promise<void>;
}

/** The contract of the Embedder port. `open` is called once: an embedder has no state that a test could spoil. */
export function describeEmbedder(name: string, open: () => Promise<OpenEmbedder>, { batchCosineMin }: EmbedderConformanceOptions): void {
  describe(`Embedder: ${name}`, () => {
    const { signal } = new AbortController();
    let opened: OpenEmbedder;
    let embedder: Embedder;
    beforeAll(async () => {
      opened = await open();
      embedder = opened.embedder;
    });
    afterAll(() => opened.close());

    const embedOne = async (text: string): Promise<Float32Array> => (await embedder.embed([text], signal))[0] ?? new Float32Array(0);

    test("describes its space", () => {
      expect(embedder.space.modelId).not.toBe("");
      expect(embedder.space.fingerprint).toMatch(/^[0-9a-f]{16,}$/);
      expect(embedder.space.dimension).toBeGreaterThan(0);
      expect(embedder.space.tokensMax).toBeGreaterThan(2);
    });

    test("gives one finite vector of unit length per text, empty and odd ones included", async () => {
      const vectors = await embedder.embed(oddTexts, signal);
      expect(vectors).toHaveLength(oddTexts.length);
      for (const vector of vectors) {
        expect(vector).toBeInstanceOf(Float32Array);
        expect(vector).toHaveLength(embedder.space.dimension);
        expect(Math.abs(Math.sqrt(cosine(vector, vector)) - 1)).toBeLessThan(1e-3);
      }
    });

    test("keeps the order, whatever the lengths", async () => {
      const texts = textsOfManyLengths(90);
      const together = await embedder.embed(texts, signal);
      for (const index of [0, 1, 30, 57, 88, 89]) {
        const alone = await embedOne(texts[index] ?? "");
        const similarities = together.map((vector) => cosine(vector, alone));
        expect(similarities.indexOf(Math.max(...similarities))).toBe(index);
      }
    });

    test("gives a text the same vector alone and in company, within its arithmetic", async () => {
      const texts = [...oddTexts, ...textsOfManyLengths(20)];
      const together = await embedder.embed(texts, signal);
      for (const [index, text] of texts.entries()) {
        expect(cosine(await embedOne(text), together[index] ?? new Float32Array(0))).toBeGreaterThanOrEqual(batchCosineMin);
      }
    });

    test("gives the same vectors for the same call", async () => {
      const texts = textsOfManyLengths(20);
      const [once, again] = [await embedder.embed(texts, signal), await embedder.embed(texts, signal)];
      for (const [index, vector] of once.entries()) expect(cosine(vector, again[index] ?? new Float32Array(0))).toBeGreaterThan(1 - 1e-5);
    });

    test("does not mix up calls that run at the same time", async () => {
      const lists = [0, 1, 2, 3].map((list) => textsOfManyLengths(12).map((text) => `${text} of list ${list}`));
      const concurrent = await Promise.all(lists.map((texts) => embedder.embed(texts, signal)));
      for (const [list, texts] of lists.entries()) {
        const alone = await embedder.embed(texts, signal);
        for (const [index, vector] of alone.entries()) {
          expect(cosine(vector, concurrent[list]?.[index] ?? new Float32Array(0))).toBeGreaterThan(1 - 1e-5);
        }
      }
    });

    test("gives nothing for nothing", async () => {
      expect(await embedder.embed([], signal)).toEqual([]);
    });

    test("refuses a text that is too long, for good, and works on", async () => {
      const tooLong = "word ".repeat(embedder.space.tokensMax);
      await expect(embedder.embed(["short", tooLong], signal)).rejects.toMatchObject({
        name: "InvalidInputError",
        code: "embed.too_long",
        retryable: false,
      });
      expect(await embedder.embed(["short"], signal)).toHaveLength(1);
    });

    test("throws the reason of an aborted signal, before and during a call, and works on", async () => {
      const reason = new Error("not wanted any more");
      await expect(embedder.embed(["a"], AbortSignal.abort(reason))).rejects.toBe(reason);
      const during = new AbortController();
      const call = embedder.embed(textsOfManyLengths(400), during.signal).catch((error: unknown) => error);
      during.abort(reason);
      // An embedder that computes at once may be done before the abort; then the vectors are right, not half of them.
      const outcome = await call;
      if (outcome !== reason) expect(outcome).toHaveLength(400);
      expect(await embedder.embed(["still here"], signal)).toHaveLength(1);
    });
  });
}

const oddTexts = [
  "",
  " ",
  "a",
  "The wheel turns.",
  "水車",
  "🚰",
  "naïve Müller",
  "\u0007",
  "x".repeat(150),
  "[CLS] [SEP] [PAD]",
  "a\n\n\tb",
];

/** Distinct texts of 1 to about 60 words, short and long in turn. */
function textsOfManyLengths(count: number): string[] {
  const words = ["mill", "water", "stone", "grain", "wheel", "ledger", "sack", "gate", "river", "flour"];
  return Array.from({ length: count }, (_, index) =>
    [`text number ${index}`, ...Array.from({ length: (index * 37) % 57 }, (_, at) => words[(index * 7 + at * 3) % words.length])].join(" "),
  );
}

/** Of unit-length vectors; NaN when the lengths differ. */
function cosine(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.NaN;
  let sum = 0;
  for (const [index, value] of a.entries()) sum += value * (b[index] ?? 0);
  return sum;
}
