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

/** Ranks below the first count less the larger it is. */
const fusionK = 60;

/**
 * Weighted reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): Σ weight / (k + rank) over the lists that have a hit, divided by what
 * the first place in both would give. Ranks and not scores are added, since cosines and BM25 have no common scale.
 *
 * @param lists each best first and without duplicates
 * @returns every hit of either list, best first; score 1 = first in both
 */
export function fuse(
  lists: { readonly dense: readonly StoredHit[]; readonly keyword: readonly StoredHit[] },
  weights: FusionWeights,
): RankedHit[] {
  const best = (weights.dense + weights.keyword) / (fusionK + 1);
  const fused = new Map<string, RankedHit>();
  for (const list of ["dense", "keyword"] as const) {
    for (const [index, hit] of lists[list].entries()) {
      const standing = { rank: index + 1, score: hit.score };
      const soFar = fused.get(hit.chunkId);
      const score = (soFar?.score ?? 0) + weights[list] / (fusionK + standing.rank) / best;
      fused.set(hit.chunkId, { ...hit, ...soFar, score, [list]: standing });
    }
  }
  return [...fused.values()].sort(byScore);
}
