import { searchCacheKey } from "./cache-key.ts";
import { type SpaceIdentity, spaceMismatch } from "./embedding-space.ts";
import type { ProjectName } from "./project.ts";
import { rerankerFor } from "./rerank.ts";
import { type RetrieveDeps, retrieve, type SearchHit } from "./retrieve.ts";
import type { SearchRequest } from "./search-request.ts";

export interface SearchDeps extends RetrieveDeps {
  readonly ledger: RetrieveDeps["ledger"] & { epoch(project: ProjectName): Promise<string> };
  /** Where answers may be a little old: changes with every delete. */
  readonly deletions?: (project: ProjectName) => Promise<string>;
  /** The space that a project's vectors are of; undefined while it has none. */
  readonly spaces: { of(project: ProjectName): Promise<SpaceIdentity | undefined> };
  /** What of it is broken is a miss; never an answer of another key, and never one of a computation that failed. */
  readonly cache: {
    answer(
      key: string,
      compute: (signal: AbortSignal) => Promise<{ readonly bytes: Uint8Array; readonly empty: boolean }>,
      signal: () => AbortSignal,
      staleKey?: string,
    ): Promise<CachedAnswer>;
  };
  /** Has what must be computed wait for its turn. Absent: it begins at once. */
  readonly admission?: { run<T>(project: ProjectName, work: () => Promise<T>, signal: AbortSignal): Promise<T> };
  /** What an answer looks like on the wire; called on misses only, so that a hit costs neither parsing nor serialising. */
  readonly serialise: (hits: readonly SearchHit[]) => Uint8Array;
}

export interface CachedAnswer {
  readonly bytes: Uint8Array;
  readonly cache: CacheState;
}

/** `stale`: computed from content of some seconds ago, and being computed anew. */
type CacheState = "hit" | "stale" | "miss";

export interface SearchAnswer {
  readonly serialisedHits: Uint8Array;
  readonly cache: CacheState;
}

/**
 * Answers a search: epoch → cache → retrieve (embed, search, live hits only, fuse) → cache.
 * @param signal asked for only where something has to be computed: making one costs a tenth of a cached answer
 * @throws InvalidInputError `query.no_reranker`; ConfigError `embed.space_mismatch`; DependencyError when a dependency is away. A failed search throws before it could be cached.
 */
export async function search(request: SearchRequest, deps: SearchDeps, signal: () => AbortSignal): Promise<SearchAnswer> {
  // Before the cache: what was computed with a reranker that is gone is no answer.
  const reranker = rerankerFor(request, deps);
  const { fingerprint } = deps.embedder.space;
  const models = reranker === undefined ? fingerprint : `${fingerprint} ${reranker.fingerprint}`;
  const [epoch, deletions] = await Promise.all([deps.ledger.epoch(request.project), deps.deletions?.(request.project)]);
  const keyOf = (content: string): string => searchCacheKey(request, content, models);
  const key = keyOf(epoch);
  const answerOf = async (shared: AbortSignal): Promise<{ bytes: Uint8Array; empty: boolean }> => {
    const found = retrieve(request, deps, shared);
    found.catch(() => undefined); // awaited below, unless it is in vain
    // Only now: a cached answer is of this space by its key.
    const mismatch = spaceMismatch(request.project, await deps.spaces.of(request.project), deps.embedder.space);
    if (mismatch !== undefined) throw mismatch;
    const hits = await found;
    return { bytes: deps.serialise(hits), empty: hits.length === 0 };
  };
  const { admission } = deps;
  const compute = (shared: AbortSignal) =>
    admission === undefined ? answerOf(shared) : admission.run(request.project, () => answerOf(shared), shared);
  const { bytes, cache } = await deps.cache.answer(
    key,
    compute,
    signal,
    deletions === undefined ? undefined : keyOf(`after ${deletions} deletions`),
  );
  return { serialisedHits: bytes, cache };
}
