import { limits } from "../limits.ts";
import { contentWords, sentencesOf } from "./sentences.ts";

/**
 * The passage of a source that carries a statement: its sentence with the most words in common, verbatim, so that a reader can find it. Taken
 * from the stored text by code, it cannot be invented.
 */
export function quoteFor(statement: string, sourceText: string): string {
  const wanted = new Set(contentWords(statement));
  let best = "";
  let bestScore = -1;
  for (const sentence of sentencesOf(sourceText)) {
    const words = new Set(contentWords(sentence));
    let shared = 0;
    for (const word of words) if (wanted.has(word)) shared++;
    // Divided by the root of the length: neither the longest sentence nor a heading of one word wins by its size.
    const score = shared / Math.sqrt(words.size + 4);
    if (score > bestScore) [best, bestScore] = [sentence, score];
  }
  return best.length <= limits.quoteCharsMax ? best : best.slice(0, limits.quoteCharsMax).replace(/[\uD800-\uDBFF]$/, "");
}
