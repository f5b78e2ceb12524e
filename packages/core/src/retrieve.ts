import { InvalidInputError, isMillraceError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { Embedder, StoredHit, VectorStore } from "./ports.ts";
import type { ProjectName } from "./project.ts";
import { byScore, fuse, type RankedHit } from "./rank.ts";
import type { SearchRequest } from "./search-request.ts";

export interface RetrieveDeps {
  readonly embedder: Embedder;
  readonly store: Pick<VectorStore, "search" | "searchKeywords">;
  readonly ledger: {
    liveGenerations(project: ProjectName, documentIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
  };
}

/**
 * The live hits of a search, best first: those of the mode's list, or of both lists fused. The lists are fused here and not by the store, so that both hold live
 * hits only, a rank means the same on every store, and every score can be explained.
 */
export async function retrieve(request: SearchRequest, deps: RetrieveDeps, signal: AbortSignal): Promise<RankedHit[]> {
  const { mode, topK, weights } = request;
  const depth = mode === "hybrid" ? Math.max(topK, limits.candidatesMin) : topK;
  // The words need not wait for the vector.
  const [dense, keyword] = await Promise.all([
    mode === "keyword" ? [] : denseHits(request, depth, deps, signal),
    mode === "dense" ? [] : keywordHits(request, depth, deps, signal),
  ]);
  const ranked =
    mode === "hybrid" ? fuse({ dense, keyword }, weights) : [...withStanding("dense", dense), ...withStanding("keyword", keyword)];
  return ranked.slice(0, topK);
}

async function denseHits(request: SearchRequest, count: number, deps: RetrieveDeps, signal: AbortSignal): Promise<StoredHit[]> {
  const vector = await embedQuery(request.query, deps.embedder, signal);
  return liveHits(request, count, deps, (rows) => deps.store.search({ ...rows, vector }, signal));
}

function keywordHits(request: SearchRequest, count: number, deps: RetrieveDeps, signal: AbortSignal): Promise<StoredHit[]> {
  return liveHits(request, count, deps, (rows) => deps.store.searchKeywords({ ...rows, text: request.query }, signal));
}

async function embedQuery(query: string, embedder: Embedder, signal: AbortSignal): Promise<Float32Array> {
  try {
    const [vector] = await embedder.embed([query], signal, "query");
    return vector ?? new Float32Array(embedder.space.dimension);
  } catch (error) {
    if (!isMillraceError(error) || error.code !== "embed.too_long") throw error;
    throw new InvalidInputError(
      "query.too_long",
      `The query has more than ${embedder.space.tokensMax} tokens, which is all that the model reads`,
      {
        cause: error,
        hint: 'Shorten it: nothing is cut off silently. The mode "keyword" has no such limit.',
      },
    );
  }
}

/** Rows fetched beyond those asked for at first, for those that turn out to be of replaced or deleted documents. */
const spareRows = 10;
/** Milvus returns no more rows than this to one search. */
const fetchMax = 16_384;

type Rows = Pick<Parameters<VectorStore["search"]>[0], "project" | "limit" | "filter">;

/**
 * Only hits of the generation that the ledger calls live are answers: a replaced or deleted document is gone at once, whatever the store still has. Where that
 * leaves too few, more are fetched until there are enough or the store has no more.
 */
async function liveHits(
  { project, filter }: SearchRequest,
  count: number,
  { ledger }: RetrieveDeps,
  searchStore: (rows: Rows) => Promise<StoredHit[]>,
): Promise<StoredHit[]> {
  for (let limit = count + spareRows; ; limit = Math.min(limit * 4, fetchMax)) {
    const rows = await searchStore({ project, limit, ...(filter === undefined ? {} : { filter }) });
    const live = await ledger.liveGenerations(project, [...new Set(rows.map((row) => row.documentId))]);
    const hits = rows.filter((row) => row.project === project && live.get(row.documentId) === row.generation);
    if (hits.length >= count || rows.length < limit || limit >= fetchMax) return hits.sort(byScore).slice(0, count);
  }
}

function withStanding(list: "dense" | "keyword", hits: readonly StoredHit[]): RankedHit[] {
  return hits.map((hit, index) => ({ ...hit, [list]: { rank: index + 1, score: hit.score } }));
}
