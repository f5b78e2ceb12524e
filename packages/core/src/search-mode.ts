export const searchModes = ["hybrid", "dense", "keyword"] as const;
export type SearchMode = (typeof searchModes)[number];

/** From where to where scores go, and what they are. */
export interface ScoreScale {
  readonly min: number;
  readonly max: number;
  readonly of: string;
}

export const rerankedScale: ScoreScale = { min: 0, max: 1, of: "the reranker's, 1 = surely an answer" };

export const scoreScales: Readonly<Record<SearchMode, ScoreScale>> = {
  hybrid: { min: 0, max: 1, of: "fused, 1 = first in both lists" },
  dense: { min: -1, max: 1, of: "cosine similarity" },
  keyword: { min: 0, max: Number.POSITIVE_INFINITY, of: "BM25, open-ended" },
};
