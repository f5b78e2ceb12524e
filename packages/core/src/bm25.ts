/** Saturation of a term that is repeated, and how much of a long text's advantage is taken back. The values that most engines come with. */
export const bm25Parameters = { k1: 1.2, b: 0.75 } as const;

/**
 * Okapi BM25 with the inverse document frequency of Lucene (never negative), as Milvus computes it:
 * Σ ln(1 + (N − n + ½) / (n + ½)) · f · (k1 + 1) / (f + k1 · (1 − b + b · length / mean length)) over the query's terms, for a text with f occurrences
 * of a term that n of N texts have.
 *
 * @param query terms, each once
 * @param texts the terms of every text that counts towards N
 * @returns the score of one text; 0 when it has none of the terms
 */
export function bm25(query: readonly string[], texts: readonly (readonly string[])[]): (text: readonly string[]) => number {
  const { k1, b } = bm25Parameters;
  const meanLength = texts.reduce((sum, text) => sum + text.length, 0) / Math.max(texts.length, 1);
  const idf = new Map(
    query.map((term) => {
      const having = texts.filter((text) => text.includes(term)).length;
      return [term, Math.log(1 + (texts.length - having + 0.5) / (having + 0.5))];
    }),
  );
  return (text) => {
    let score = 0;
    for (const [term, weight] of idf) {
      const count = text.filter((each) => each === term).length;
      score += (weight * count * (k1 + 1)) / (count + k1 * (1 - b + (b * text.length) / meanLength));
    }
    return score;
  };
}
