/** The two sets of question pairs, how near their vectors are, and what the guards say of them. */
import { readFileSync } from "node:fs";
import { differencesOf } from "@millrace/core";
import { LocalEmbedder } from "@millrace/embedding";
import { loadConfig } from "@millrace/runtime";

/** @returns {{ part: "tuning" | "held-out", domain: string, kind?: string, a: string, b: string }[]} */
function readPairs(name) {
  const lines = readFileSync(new URL(`./${name}.jsonl`, import.meta.url), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => JSON.parse(line));
}

/**
 * Both sets with their similarity by the built-in model.
 * @returns the pairs, each with `similarity` (cosine) and `differences` (of the guards)
 */
export async function judgePairs() {
  const { model } = loadConfig();
  const embedder = new LocalEmbedder({ modelPath: model.path, dtype: model.dtype });
  try {
    const signal = AbortSignal.timeout(180_000);
    await embedder.start(signal);
    const [nearMisses, paraphrases] = [readPairs("near-misses"), readPairs("paraphrases")];
    const texts = [...new Set([...nearMisses, ...paraphrases].flatMap(({ a, b }) => [a, b]))];
    const vectors = await embedder.embed(texts, signal, "query");
    const vectorOf = new Map(texts.map((text, index) => [text, vectors[index]]));
    const judge = (pair) => ({
      ...pair,
      similarity: vectorOf.get(pair.a).reduce((sum, value, index) => sum + value * vectorOf.get(pair.b)[index], 0),
      differences: differencesOf(pair.a, pair.b),
    });
    return { nearMisses: nearMisses.map(judge), paraphrases: paraphrases.map(judge) };
  } finally {
    await embedder.close();
  }
}

/** Pairs that would be taken for one question. */
export const taken = (pairs, floor, { guards = true } = {}) =>
  pairs.filter(({ similarity, differences }) => similarity >= floor && (!guards || differences.length === 0));
