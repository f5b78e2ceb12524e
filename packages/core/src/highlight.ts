import { queryTermsOf, termsOf } from "./analysis.ts";
import type { Span } from "./document.ts";

/** Finds what of a text matches the words of a query, as keyword search sees them: "rotating" matches "rotation", "naive" matches "naïve". */
export function highlighter(query: string): (text: string) => Span[] {
  const wanted = new Set(queryTermsOf(query));
  return (text) => {
    const ranges: { start: number; end: number }[] = [];
    for (const { term, start, end } of termsOf(text)) {
      if (!wanted.has(term)) continue;
      const last = ranges.at(-1);
      // Pairs of characters overlap, and several terms of one word stand at the same place.
      if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
      else ranges.push({ start, end });
    }
    return ranges;
  };
}
