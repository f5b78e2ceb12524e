import { normaliseQuery, searchCacheKey } from "./cache-key.ts";
import { type SpaceIdentity, spaceMismatch } from "./embedding-space.ts";
import { InvalidInputError, isMillraceError } from "./errors.ts";
import { type Filter, parseFilter } from "./filter.ts";
import { limits } from "./limits.ts";
import type { Embedder, StoredHit, VectorStore } from "./ports.ts";
import type { ProjectName } from "./project.ts";

export interface SearchRequest {
  readonly project: ProjectName;
  /** Normalised, 1 to `queryCharsMax` characters. */
  readonly query: string;
  readonly topK: number;
  readonly mode: "dense";
  readonly filter?: Filter;
}

export interface SearchDeps {
  readonly embedder: Embedder;
  readonly store: Pick<VectorStore, "search">;
  readonly ledger: {
    epoch(project: ProjectName): Promise<string>;
    liveGenerations(project: ProjectName, documentIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
  };
  /** The space that a project's vectors are of; undefined while it has none. */
  readonly spaces: { of(project: ProjectName): Promise<SpaceIdentity | undefined> };
  /** What of it is broken is a miss; never an answer of another key, and never one of a computation that failed. */
  readonly cache: {
    answer(
      key: string,
      compute: (signal: AbortSignal) => Promise<{ readonly bytes: Uint8Array; readonly empty: boolean }>,
      signal: AbortSignal,
    ): Promise<CachedAnswer>;
  };
  /** What an answer looks like on the wire; called on misses only, so that a hit costs neither parsing nor serialising. */
  readonly serialise: (hits: readonly StoredHit[]) => Uint8Array;
}

export interface CachedAnswer {
  readonly bytes: Uint8Array;
  readonly cache: "hit" | "miss";
}

export interface SearchAnswer {
  readonly serialisedHits: Uint8Array;
  readonly cache: "hit" | "miss";
}

/**
 * Answers a search: epoch → cache → embed → vector search → live hits only → cache.
 * @throws InvalidInputError `query.too_long`; ConfigError `embed.space_mismatch`; DependencyError when a dependency is away. A failed search throws before it could be cached.
 */
export async function search(request: SearchRequest, deps: SearchDeps, signal: AbortSignal): Promise<SearchAnswer> {
  const { project, mode, topK, query, filter } = request;
  const epoch = await deps.ledger.epoch(project);
  const key = searchCacheKey({ project, epoch, spaceFingerprint: deps.embedder.space.fingerprint, mode, topK, query, filter });
  const compute = async (shared: AbortSignal): Promise<{ bytes: Uint8Array; empty: boolean }> => {
    // Only now: a cached answer is of this space by its key.
    const mismatch = spaceMismatch(project, await deps.spaces.of(project), deps.embedder.space);
    if (mismatch !== undefined) throw mismatch;
    const vector = await embedQuery(query, deps.embedder, shared);
    const hits = await searchLive(request, vector, deps, shared);
    return { bytes: deps.serialise(hits), empty: hits.length === 0 };
  };
  const { bytes, cache } = await deps.cache.answer(key, compute, signal);
  return { serialisedHits: bytes, cache };
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
        hint: "Shorten it: nothing is cut off silently.",
      },
    );
  }
}

/** Rows fetched beyond top_k at first, for those that turn out to be of replaced or deleted documents. */
const spareRows = 10;
/** Milvus returns no more rows than this to one search. */
const fetchMax = 16_384;

/**
 * Only hits of the generation that the ledger calls live are answers: a replaced or deleted document is gone at once, whatever the store still has. Where that
 * leaves too few, more are fetched until there are enough or the store has no more.
 */
async function searchLive(request: SearchRequest, vector: Float32Array, deps: SearchDeps, signal: AbortSignal): Promise<StoredHit[]> {
  const { project, topK, filter } = request;
  for (let limit = topK + spareRows; ; limit = Math.min(limit * 4, fetchMax)) {
    const rows = await deps.store.search({ project, vector, limit, ...(filter === undefined ? {} : { filter }) }, signal);
    const live = await deps.ledger.liveGenerations(project, [...new Set(rows.map((row) => row.documentId))]);
    const hits = rows.filter((row) => row.project === project && live.get(row.documentId) === row.generation);
    if (hits.length >= topK || rows.length < limit || limit >= fetchMax) return hits.sort(byScore).slice(0, topK);
  }
}

function byScore(a: StoredHit, b: StoredHit): number {
  return b.score - a.score || (a.chunkId < b.chunkId ? -1 : 1);
}

/**
 * Checks a request from outside.
 * @throws InvalidInputError `query.missing`, `query.empty`, `query.too_long`, `query.top_k`, `query.mode`, `filter.invalid`
 */
export function parseSearchRequest(project: ProjectName, body: unknown): SearchRequest {
  const {
    query,
    top_k: topK = limits.topKDefault,
    mode = "dense",
    filter,
  } = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  if (typeof query !== "string")
    throw new InvalidInputError("query.missing", "The body has no text in `query`", { hint: 'Send {"query": "…"}.' });
  if (query.length > limits.queryCharsMax) {
    throw new InvalidInputError(
      "query.too_long",
      `The query has ${query.length} characters, more than the limit of ${limits.queryCharsMax}`,
      { hint: "Shorten it." },
    );
  }
  const normalised = normaliseQuery(query);
  if (normalised === "") throw new InvalidInputError("query.empty", "The query is empty");
  if (typeof topK !== "number" || !Number.isInteger(topK) || topK < 1 || topK > limits.topKMax) {
    throw new InvalidInputError("query.top_k", `top_k is ${JSON.stringify(topK)}, not a whole number from 1 to ${limits.topKMax}`);
  }
  if (mode !== "dense")
    throw new InvalidInputError("query.mode", `There is no mode ${JSON.stringify(mode)}`, { hint: 'The mode is "dense".' });
  return { project, query: normalised, topK, mode, ...(filter === undefined || filter === null ? {} : { filter: parseFilter(filter) }) };
}
