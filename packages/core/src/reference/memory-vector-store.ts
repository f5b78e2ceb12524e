import { queryTermsOf } from "../analysis.ts";
import { bm25 } from "../bm25.ts";
import type { ChunkRecord } from "../document.ts";
import { matchesFilter } from "../filter.ts";
import type { RowIdentity, RowVector, StoredHit, StoreKeywordSearch, StoreSearch, VectorStore } from "../ports.ts";
import type { ProjectName } from "../project.ts";
import { byScore } from "../rank.ts";
import { checkVector, indexedTerms, type StoredChunk, toStoredChunk } from "../stored-chunk.ts";

interface Row {
  readonly chunk: StoredChunk;
  readonly terms: readonly string[];
  readonly vector: Float32Array;
}

/** The vector store as it is meant: exact, in memory, the reference that other stores are compared with. */
export class MemoryVectorStore implements VectorStore {
  readonly #dimension: number;
  readonly #rows = new Map<string, Row>();

  constructor(dimension: number) {
    this.#dimension = dimension;
  }

  async upsert(records: readonly ChunkRecord[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    for (const record of records) {
      const chunk = toStoredChunk(record);
      const terms = indexedTerms(chunk).split(" ");
      this.#rows.set(record.chunkId, { chunk, terms, vector: checkVector(record.vector, this.#dimension).slice() });
    }
  }

  async existing(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    signal.throwIfAborted();
    return new Set(chunkIds.filter((chunkId) => this.#rows.get(chunkId)?.chunk.project === project));
  }

  async read(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<StoredChunk[]> {
    const found = await this.existing(project, chunkIds, signal);
    return [...found].flatMap((chunkId) => this.#rows.get(chunkId)?.chunk ?? []);
  }

  async vectors(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<RowVector[]> {
    const found = await this.existing(project, chunkIds, signal);
    return [...found].flatMap((chunkId) => {
      const row = this.#rows.get(chunkId);
      if (row === undefined) return [];
      const { title, headings, text } = row.chunk;
      return [{ chunkId, title, headings, text, vector: row.vector.slice() }];
    });
  }

  async *scan(project: ProjectName, signal: AbortSignal): AsyncGenerator<RowIdentity[]> {
    signal.throwIfAborted();
    const own = [...this.#rows.values()].filter(({ chunk }) => chunk.project === project);
    yield own.map(({ chunk: { chunkId, documentId, generation, ordinal } }) => ({ chunkId, documentId, generation, ordinal }));
  }

  async search(request: StoreSearch, signal: AbortSignal): Promise<StoredHit[]> {
    signal.throwIfAborted();
    const query = checkVector(request.vector, this.#dimension);
    return this.#best(request, (row) => cosine(query, row.vector));
  }

  async searchKeywords(request: StoreKeywordSearch, signal: AbortSignal): Promise<StoredHit[]> {
    signal.throwIfAborted();
    const scoreOf = bm25(
      queryTermsOf(request.text),
      [...this.#rows.values()].map((row) => row.terms),
    );
    return this.#best(request, (row) => scoreOf(row.terms)).filter((hit) => hit.score > 0);
  }

  #best({ project, filter, limit }: Omit<StoreSearch, "vector">, scoreOf: (row: Row) => number): StoredHit[] {
    return [...this.#rows.values()]
      .filter(({ chunk }) => chunk.project === project && (filter === undefined || matchesFilter(filter, chunk)))
      .map((row) => ({ ...row.chunk, score: scoreOf(row) }))
      .sort(byScore)
      .slice(0, limit);
  }

  async delete(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<void> {
    for (const chunkId of await this.existing(project, chunkIds, signal)) this.#rows.delete(chunkId);
  }
}

function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0;
  let squaresA = 0;
  let squaresB = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] ?? 0;
    const y = b[i] ?? 0;
    dot += x * y;
    squaresA += x * x;
    squaresB += y * y;
  }
  return squaresA === 0 || squaresB === 0 ? 0 : dot / Math.sqrt(squaresA * squaresB);
}
