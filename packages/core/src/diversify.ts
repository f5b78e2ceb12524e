import { dot } from "./dot.ts";

export interface Candidate {
  /** On any scale: it is compared among the candidates only. */
  readonly score: number;
  /** Unit length; undefined where it is not known, and then like no other. */
  readonly vector: Float32Array | undefined;
}

/**
 * Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): takes one candidate after another, each time the one with the largest
 * (1 − diversity) · relevance − diversity · similarity, where similarity is the largest cosine with one that was taken before. Relevance is the score
 * stretched over the candidates, 1 for the best and 0 for the worst, since the modes' scores have scales of their own and cosines have another.
 *
 * @param candidates best first
 * @param diversity 0 keeps the order, 1 looks at nothing but difference once the best is taken
 * @returns the indices of at most `count` candidates, in the order in which they were taken
 */
export function diversify(candidates: readonly Candidate[], diversity: number, count: number): number[] {
  const scores = candidates.map(({ score }) => score);
  const lowest = Math.min(...scores);
  const range = Math.max(...scores) - lowest;
  const left = new Set(candidates.keys());
  const similarity = new Float64Array(candidates.length);
  const taken: number[] = [];
  while (taken.length < count && left.size > 0) {
    let best = -1;
    let bestMargin = Number.NEGATIVE_INFINITY;
    for (const index of left) {
      const relevance = range === 0 ? 1 : ((scores[index] ?? lowest) - lowest) / range;
      const margin = (1 - diversity) * relevance - diversity * (similarity[index] ?? 0);
      // Equals go by rank: the first is kept.
      if (margin > bestMargin) {
        best = index;
        bestMargin = margin;
      }
    }
    taken.push(best);
    left.delete(best);
    const vector = candidates[best]?.vector;
    for (const index of left) {
      const cosine = cosineOf(vector, candidates[index]?.vector);
      similarity[index] = taken.length === 1 ? cosine : Math.max(similarity[index] ?? 0, cosine);
    }
  }
  return taken;
}

function cosineOf(a: Float32Array | undefined, b: Float32Array | undefined): number {
  return a === undefined || b === undefined ? 0 : dot(a, b);
}
