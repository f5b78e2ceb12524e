import { diversify } from "./diversify.ts";
import type { Span } from "./document.ts";
import { embedQuery } from "./embed-query.ts";
import { contextsOf, type HitContext } from "./expand.ts";
import { groupByDocument } from "./group.ts";
import { highlighter } from "./highlight.ts";
import { limits } from "./limits.ts";
import { type LiveHitsRequest, type Liveness, liveHits } from "./live-hits.ts";
import type { Embedder, StoredHit, VectorStore } from "./ports.ts";
import { fuse, type RankedHit } from "./rank.ts";
import { type Reranker, rerank, rerankerFor } from "./rerank.ts";
import type { SearchRequest } from "./search-request.ts";

export interface RetrieveDeps {
  readonly embedder: Embedder;
  readonly store: Pick<VectorStore, "search" | "searchKeywords" | "vectors" | "read">;
  readonly ledger: Liveness;
  /** Undefined: requests for one are refused. */
  readonly reranker?: Reranker;
}

/** A hit with what the request asked for beside it. */
export interface SearchHit extends RankedHit {
  readonly context?: HitContext;
  /** Ranges of `text` that match words of the query. */
  readonly highlights?: readonly Span[];
}

/**
 * Answers a request: candidates → reranker → minimal score → groups → diversity → best `topK` → what stands around them. Without options a group is one hit, and the
 * order is that of the scores.
 * @throws InvalidInputError `query.no_reranker`, `query.too_long`; DependencyError where a dependency is away
 */
export async function retrieve(request: SearchRequest, deps: RetrieveDeps, signal: AbortSignal): Promise<SearchHit[]> {
  const { query, groupSize, minScore = Number.NEGATIVE_INFINITY } = request;
  const reranker = rerankerFor(request, deps);
  const found = await rankedCandidates(request, deps, signal);
  const candidates = reranker === undefined ? found : await rerank(worthReranking(found, request), query, reranker, signal);
  const groups = groupsOf(
    candidates.filter((hit) => hit.score >= minScore),
    groupSize,
  );
  const hits = (await chosenGroups(groups, request, deps, signal)).flat();
  return withSurroundings(hits, request, deps, signal);
}

/**
 * The live hits of the mode's list, or of both lists fused, best first. The lists are fused here and not by the store, so that both hold live
 * hits only, a rank means the same on every store, and every score can be explained.
 */
async function rankedCandidates(request: SearchRequest, deps: RetrieveDeps, signal: AbortSignal): Promise<RankedHit[]> {
  const { project, filter, mode, weights, fusion, groupSize, minScore, diversity } = request;
  const isReranked = request.rerank !== undefined;
  const wanted = groupsWanted(request);
  const isChoice = mode === "hybrid" || groupSize !== undefined || diversity !== undefined || isReranked;
  const list: LiveHitsRequest = {
    project,
    count: isChoice ? Math.max(wanted, limits.candidatesMin) : wanted,
    ...(isChoice ? { enough: Math.max(wanted, limits.candidatesEnough) } : {}),
    ...(filter === undefined ? {} : { filter }),
    ...(groupSize === undefined ? {} : { groups: { count: wanted, size: groupSize } }),
    // Of one list of two, a score says nothing about the fused one, nor about the reranker's.
    ...(minScore === undefined || mode === "hybrid" || isReranked ? {} : { minScore }),
  };
  // The words need not wait for the vector.
  const [dense, keyword] = await Promise.all([
    mode === "keyword" ? [] : denseHits(request.query, list, deps, signal),
    mode === "dense" ? [] : liveHits(list, deps.ledger, (rows) => deps.store.searchKeywords({ ...rows, text: request.query }, signal)),
  ]);
  return mode === "hybrid"
    ? fuse({ dense, keyword }, weights, fusion)
    : [...withStanding("dense", dense), ...withStanding("keyword", keyword)];
}

/** Groups to choose from; without grouping, hits. */
function groupsWanted({ topK, diversity }: SearchRequest): number {
  return diversity === undefined ? topK : 2 * topK;
}

function groupsOf(hits: readonly RankedHit[], groupSize: number | undefined): RankedHit[][] {
  return groupSize === undefined ? hits.map((hit) => [hit]) : groupByDocument(hits, groupSize);
}

/** Whole groups of those that may end among the best, each with its standing of now. */
function worthReranking(hits: readonly RankedHit[], request: SearchRequest): RankedHit[] {
  const standing = hits.map((hit, index) => ({ ...hit, retrieved: { rank: index + 1, score: hit.score } }));
  const count = Math.max(groupsWanted(request), Math.ceil(limits.rerankHitsMin / (request.groupSize ?? 1)));
  return groupsOf(standing, request.groupSize).slice(0, count).flat();
}

async function denseHits(query: string, list: LiveHitsRequest, deps: RetrieveDeps, signal: AbortSignal): Promise<StoredHit[]> {
  const vector = await embedQuery(query, deps.embedder, signal);
  return liveHits(list, deps.ledger, (rows) => deps.store.search({ ...rows, vector }, signal));
}

async function chosenGroups(
  groups: readonly RankedHit[][],
  { project, topK, diversity }: SearchRequest,
  { store }: RetrieveDeps,
  signal: AbortSignal,
): Promise<RankedHit[][]> {
  if (diversity === undefined || groups.length < 2) return groups.slice(0, topK);
  const among = groups.slice(0, Math.max(2 * topK, limits.candidatesMin));
  // A group is compared by its best hit.
  const heads = among.flatMap(([head]) => head ?? []);
  const rows = await store.vectors(
    project,
    heads.map(({ chunkId }) => chunkId),
    signal,
  );
  const vectors = new Map(rows.map(({ chunkId, vector }) => [chunkId, vector]));
  const candidates = heads.map(({ chunkId, score }) => ({ score, vector: vectors.get(chunkId) }));
  return diversify(candidates, diversity, topK).flatMap((index) => [among[index] ?? []]);
}

async function withSurroundings(
  hits: readonly RankedHit[],
  { project, query, expand, highlight }: SearchRequest,
  { store }: RetrieveDeps,
  signal: AbortSignal,
): Promise<SearchHit[]> {
  const contexts = expand === undefined || hits.length === 0 ? undefined : await contextsOf(project, hits, expand, store, signal);
  const highlightsOf = highlight === undefined ? undefined : highlighter(query);
  return hits.map((hit) => {
    const context = contexts?.get(hit.chunkId);
    return {
      ...hit,
      ...(context === undefined ? {} : { context }),
      ...(highlightsOf === undefined ? {} : { highlights: highlightsOf(hit.text) }),
    };
  });
}

function withStanding(list: "dense" | "keyword", hits: readonly StoredHit[]): RankedHit[] {
  return hits.map((hit, index) => ({ ...hit, [list]: { rank: index + 1, score: hit.score } }));
}
