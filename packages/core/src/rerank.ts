import { InvalidInputError } from "./errors.ts";
import { byScore, type RankedHit } from "./rank.ts";

/** Reads a query and a text together and tells how well they fit: dearer than comparing vectors, and better at telling the first from the tenth. */
export interface Reranker {
  /** Hash over what decides scores; part of the cache's keys. */
  readonly fingerprint: string;
  /**
   * One score per text, 0 to 1, in the order given.
   * @throws DependencyError `rerank.unavailable`
   */
  score(query: string, texts: readonly string[], signal: AbortSignal): Promise<readonly number[]>;
}

/**
 * The reranker that a request asks for; undefined where it asks for none.
 * @throws InvalidInputError `query.no_reranker`
 */
export function rerankerFor(request: { readonly rerank?: true }, { reranker }: { readonly reranker?: Reranker }): Reranker | undefined {
  if (request.rerank !== undefined && reranker === undefined) {
    throw new InvalidInputError("query.no_reranker", "This service has no reranker", {
      hint: "Leave `rerank` out, or set MILLRACE_RERANKER to the folder of a cross-encoder.",
    });
  }
  return request.rerank === undefined ? undefined : reranker;
}

/** The hits by the reranker's scores, best first; each keeps its standing of before. */
export async function rerank(hits: readonly RankedHit[], query: string, reranker: Reranker, signal: AbortSignal): Promise<RankedHit[]> {
  if (hits.length === 0) return [];
  const scores = await reranker.score(
    query,
    hits.map(({ text }) => text),
    signal,
  );
  return hits.map((hit, index) => ({ ...hit, score: scores[index] ?? 0 })).sort(byScore);
}
