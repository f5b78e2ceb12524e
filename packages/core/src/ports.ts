import type { ChunkRecord, Metadata, Span } from "./document.ts";
import type { Filter } from "./filter.ts";
import type { MediaType } from "./media-type.ts";
import type { ProjectName } from "./project.ts";

/**
 * The ports of the core. A port exists only where two real implementations do; each has one conformance suite in
 * `@millrace/testing` that runs on every implementation. Every call takes an AbortSignal, and every failure is a thrown
 * MillraceError: an outage must never look like an empty answer.
 */

/** Identifies vectors that may be compared with each other. Stored with the index; a mismatch is refused. */
export interface EmbeddingSpace {
  /** e.g. `all-MiniLM-L6-v2`. */
  readonly modelId: string;
  /** Number format of the weights, where it is known: `int8`. */
  readonly dtype?: string;
  /** Hash over everything that changes vectors: weights, dtype, pooling, normalisation, prefixes, length. */
  readonly fingerprint: string;
  readonly dimension: number;
  /** Tokens per text at most, special tokens included. */
  readonly tokensMax: number;
}

/** What a text is to its model: some were trained with another prefix for questions than for what answers them. */
export type EmbedPurpose = "document" | "query";

export interface Embedder {
  readonly space: EmbeddingSpace;
  /**
   * One unit-length vector per text, in the order given.
   * @param purpose default `document`
   * @throws InvalidInputError `embed.too_long` when a text has more than `space.tokensMax` tokens: nothing is cut silently
   * @throws DependencyError `embed.unavailable` when the inference process died or timed out
   */
  embed(texts: readonly string[], signal: AbortSignal, purpose?: EmbedPurpose): Promise<Float32Array[]>;
}

/** Counts tokens as the embedder's model does. Pure and synchronous: runs inside the compute process, beside the chunker. */
export interface TokenCounter {
  /** Special tokens added to every text ([CLS] and [SEP]: 2). */
  readonly specialTokens: number;
  /** Tokens of `text` without special tokens. Additive over whitespace-separated words: count("a b") = count("a") + count("b"). */
  count(text: string): number;
}

export interface StoredHit {
  readonly chunkId: string;
  readonly project: string;
  readonly documentId: string;
  readonly generation: string;
  readonly source: string;
  readonly mediaType: MediaType;
  readonly title: string;
  /** When the version arrived, milliseconds since the epoch. */
  readonly ingestedAt: number;
  readonly metadata: Metadata;
  readonly ordinal: number;
  readonly text: string;
  readonly span: Span;
  readonly page?: number;
  readonly headings: readonly string[];
  readonly tokens: number;
  /** Of the search that found it: cosine similarity (1 = same direction) or BM25. */
  readonly score: number;
}

/** What names a row, without its content. */
export interface RowIdentity {
  readonly chunkId: string;
  readonly documentId: string;
  readonly generation: string;
  readonly ordinal: number;
}

/** What a row was embedded from (a header follows from title, headings and text), and what came of it. */
export interface RowVector {
  readonly chunkId: string;
  readonly title: string;
  readonly headings: readonly string[];
  readonly text: string;
  readonly vector: Float32Array;
}

export interface StoreSearch {
  readonly project: ProjectName;
  readonly vector: Float32Array;
  readonly limit: number;
  readonly filter?: Filter;
}

export interface StoreKeywordSearch extends Omit<StoreSearch, "vector"> {
  /** Analysed by the store as the rows were (`queryTermsOf`). */
  readonly text: string;
}

export interface VectorStore {
  /** Inserts or overwrites by `chunkId`. Resolves only when every row was acknowledged; a timeout means unknown, so call it again. */
  upsert(records: readonly ChunkRecord[], signal: AbortSignal): Promise<void>;
  /** Which of these keys exist, read with strong consistency. */
  existing(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** Those of these rows that exist, in no order, read with strong consistency. */
  read(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<Omit<StoredHit, "score">[]>;
  /** Texts and vector of those of these rows that exist, read with strong consistency. */
  vectors(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<RowVector[]>;
  /** Every row of the project, each once and in no order. For audits: it costs passes over the whole collection. */
  scan(project: ProjectName, signal: AbortSignal): AsyncIterable<readonly RowIdentity[]>;
  /** Nearest first. Fewer than `limit` hits means that the project has no more. */
  search(request: StoreSearch, signal: AbortSignal): Promise<StoredHit[]>;
  /**
   * Rows that share a term with the text, by BM25 (`bm25` in bm25.ts has the formula). Fewer than `limit` hits means that the project has no more. How rare
   * a term is, is counted over some part of the store that the engine chooses (all rows, a segment), not over the project.
   */
  searchKeywords(request: StoreKeywordSearch, signal: AbortSignal): Promise<StoredHit[]>;
  /** Deletes by key; keys that do not exist are no error. */
  delete(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<void>;
}

/** The source bytes by sha256. */
export interface BlobStore {
  /** Idempotent: the same hash is stored once. The bytes are durable when it resolves. */
  put(contentHash: string, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** @throws DocumentError `blob.missing` */
  get(contentHash: string, signal: AbortSignal): Promise<Uint8Array>;
  delete(contentHash: string, signal: AbortSignal): Promise<void>;
}
