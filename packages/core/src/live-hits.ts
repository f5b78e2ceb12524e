import type { Filter } from "./filter.ts";
import { limits } from "./limits.ts";
import type { StoredHit, VectorStore } from "./ports.ts";
import type { ProjectName } from "./project.ts";
import { byScore } from "./rank.ts";

export interface LiveHitsRequest {
  readonly project: ProjectName;
  readonly filter?: Filter;
  /** Hits of the list at most, where documents are not grouped. */
  readonly count: number;
  /** So many will do where others turn out to be no answers, and no more are fetched. Default: `count`. */
  readonly enough?: number;
  /** Documents are wanted, so many of them, each with its best `size` hits: more is fetched until they are there. */
  readonly groups?: { readonly count: number; readonly size: number };
  /** Below it nothing is of use. */
  readonly minScore?: number;
}

/** What tells which rows are answers. */
export interface Liveness {
  liveGenerations(project: ProjectName, documentIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
}

type Rows = Pick<Parameters<VectorStore["search"]>[0], "project" | "limit" | "filter">;

/** Milvus returns no more rows than this to one search. */
const fetchMax = 16_384;

/**
 * The hits of one list, best first. Only hits of the generation that the ledger calls live are answers: a replaced or deleted document is gone at once,
 * whatever the store still has. Where that leaves too few, more are fetched until there are enough or the store has no more. Documents that have all
 * the hits they may have are left out of what is fetched next, so that one of many thousand chunks does not stand before the others; what was held back
 * of them does not count in ranks.
 */
export async function liveHits(
  request: LiveHitsRequest,
  ledger: Liveness,
  searchStore: (rows: Rows) => Promise<StoredHit[]>,
): Promise<StoredHit[]> {
  const { project, count, enough: enoughHits = count, groups, minScore = Number.NEGATIVE_INFINITY } = request;
  const first = Math.max(count, groups?.count ?? 0) + limits.spareRows;
  let hits: StoredHit[] = [];
  for (let limit = first; ; limit = Math.min(limit * 4, fetchMax)) {
    const full = fullDocuments(hits, groups?.size);
    const filter = excluding(request.filter, full);
    const rows = await searchStore({ project, limit, ...(filter === undefined ? {} : { filter }) });
    // Asked again for what is kept, so that no answer has two versions of a document.
    const known = new Map([...(groups === undefined ? [] : hits), ...rows].map((row) => [row.chunkId, row]));
    const live = await ledger.liveGenerations(project, [...new Set([...known.values()].map((row) => row.documentId))]);
    hits = [...known.values()].filter((row) => row.project === project && live.get(row.documentId) === row.generation).sort(byScore);
    const enough = groups === undefined ? hits.length >= enoughHits : documentsOf(hits).size >= groups.count;
    const exhausted = rows.length < limit || rows.some((row) => row.score < minScore);
    const stuck = limit >= fetchMax && fullDocuments(hits, groups?.size).length === full.length;
    if (enough || exhausted || stuck) return groups === undefined ? hits.slice(0, count) : hits;
  }
}

function documentsOf(hits: readonly StoredHit[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { documentId } of hits) counts.set(documentId, (counts.get(documentId) ?? 0) + 1);
  return counts;
}

function fullDocuments(hits: readonly StoredHit[], size = Number.POSITIVE_INFINITY): string[] {
  return [...documentsOf(hits)].flatMap(([documentId, count]) => (count >= size ? [documentId] : []));
}

function excluding(filter: Filter | undefined, documentIds: readonly string[]): Filter | undefined {
  if (documentIds.length === 0) return filter;
  const others: Filter = { type: "nin", key: "document_id", value: documentIds };
  return filter === undefined ? others : { type: "and", filters: [filter, others] };
}
