import type { StoredHit } from "./ports.ts";

/** Where a hit stood in one of the lists that were fused. */
export interface Standing {
  /** 1-based. */
  readonly rank: number;
  readonly score: number;
}

export interface RankedHit extends StoredHit {
  readonly dense?: Standing;
  readonly keyword?: Standing;
  /** Where it stood before it was reranked. */
  readonly retrieved?: Standing;
}

export interface FusionWeights {
  readonly dense: number;
  readonly keyword: number;
}

export const defaultWeights: FusionWeights = { dense: 1, keyword: 1 };

/** Best first; equals in an order of their own, so that the same rows give the same answer. */
export function byScore(a: StoredHit, b: StoredHit): number {
  return b.score - a.score || (a.chunkId < b.chunkId ? -1 : 1);
}

export const fusions = ["scores", "ranks"] as const;
/** What of the lists is added: how far a hit stands out from the others by its score, or its rank. */
export type Fusion = (typeof fusions)[number];

/**
 * Both lists as one: a hit counts the weighted sum of what it is worth in each list, divided by that of a hit that is first in all lists that found something.
 * By `scores`, a hit is worth its standard score, so that a list in which one hit stands out from the rest counts more than one without contrast; by `ranks`, as in
 * reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), only the order counts.
 *
 * @param lists each best first and without duplicates
 * @returns every hit of either list, best first; score 1 = first in each
 */
export function fuse(
  lists: { readonly dense: readonly StoredHit[]; readonly keyword: readonly StoredHit[] },
  weights: FusionWeights,
  fusion: Fusion,
): RankedHit[] {
  const fused = new Map<string, RankedHit>();
  let best = 0;
  for (const list of ["dense", "keyword"] as const) {
    const worth = fusion === "ranks" ? worthOfRank : worthOfScore(lists[list].map(({ score }) => score));
    for (const [index, hit] of lists[list].entries()) {
      const standing = { rank: index + 1, score: hit.score };
      const soFar = fused.get(hit.chunkId);
      const share = weights[list] * worth(standing);
      if (index === 0) best += share;
      fused.set(hit.chunkId, { ...hit, ...soFar, score: (soFar?.score ?? 0) + share, [list]: standing });
    }
  }
  return [...fused.values()].map((hit) => ({ ...hit, score: best === 0 ? 0 : hit.score / best })).sort(byScore);
}

/** A rank counts less beside the first the smaller this is. */
const rankConstant = 60;

function worthOfRank({ rank }: Standing): number {
  return 1 / (rankConstant + rank);
}

/**
 * A hit that a list lacks is worth nothing, as one that many standard deviations below its mean. On the collections tried, 1 to 3 are as good as each
 * other (docs/tuning.md).
 */
const deviationsBelowMean = 2;

/** Standard scores: (score − mean) / standard deviation over the list, moved up so that hardly any is negative. */
function worthOfScore(scores: readonly number[]): (standing: Standing) => number {
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const deviation = Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length);
  return ({ score }) => Math.max((deviation === 0 ? 0 : (score - mean) / deviation) + deviationsBelowMean, 0);
}
