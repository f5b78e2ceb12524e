/** How good a ranking is for one query; each from 0 to 1. */
export interface Quality {
  /** Normalised discounted cumulative gain of the first 10: Σ grade / log₂(rank + 1), over that of the ideal order (Järvelin and Kekäläinen, TOIS 2002; linear gains, as trec_eval). */
  readonly ndcg10: number;
  /** Share of the relevant documents among the first 10. */
  readonly recall10: number;
  readonly recall100: number;
  /** 1 / rank of the first relevant document; 0 where none was found. */
  readonly reciprocalRank: number;
}

export const measures = ["ndcg10", "recall10", "recall100", "reciprocalRank"] as const satisfies readonly (keyof Quality)[];

/**
 * @param ranking ids of documents, best first, each once
 * @param grades of the judged documents; those above 0 are relevant, and there is at least one
 */
export function qualityOf(ranking: readonly string[], grades: ReadonlyMap<string, number>): Quality {
  const gains = ranking.map((id) => Math.max(grades.get(id) ?? 0, 0));
  const ideal = [...grades.values()].filter((grade) => grade > 0).sort((a, b) => b - a);
  const recall = (depth: number): number => gains.slice(0, depth).filter((gain) => gain > 0).length / ideal.length;
  const first = gains.findIndex((gain) => gain > 0);
  return {
    ndcg10: discounted(gains.slice(0, 10)) / discounted(ideal.slice(0, 10)),
    recall10: recall(10),
    recall100: recall(100),
    reciprocalRank: first === -1 ? 0 : 1 / (first + 1),
  };
}

function discounted(gains: readonly number[]): number {
  return gains.reduce((sum, gain, index) => sum + gain / Math.log2(index + 2), 0);
}

/** The mean of every measure over the queries; 0 without any. */
export function meanQuality(qualities: readonly Quality[]): Quality {
  const mean = (measure: keyof Quality): number =>
    qualities.reduce((sum, quality) => sum + quality[measure], 0) / Math.max(qualities.length, 1);
  return { ndcg10: mean("ndcg10"), recall10: mean("recall10"), recall100: mean("recall100"), reciprocalRank: mean("reciprocalRank") };
}
