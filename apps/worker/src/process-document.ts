import {
  type BlobStore,
  type Chunk,
  type ChunkingOptions,
  type ChunkRecord,
  chunkIdOf,
  chunkIdsOf,
  DependencyError,
  DocumentError,
  type Embedder,
  limits,
  type ParsedDocument,
  type VectorStore,
} from "@millrace/core";
import type { DocumentEntry, GenerationRef, Ledger } from "@millrace/ledger";

/**
 * The life of one job, top to bottom: parse → chunk → embed → write → verify → switch. Until the switch the generation before answers
 * queries; a crash at any line leaves either the old or the new, since every write is idempotent and nothing of a pending generation is visible.
 * Each stage is entered in the ledger first; "superseded" there (a newer version, a delete) ends the job quietly.
 */
export interface ProcessDeps {
  readonly ledger: Ledger;
  readonly blobs: BlobStore & { pathOf(contentHash: string): string };
  readonly parser: {
    parse(path: string, mediaType: NonNullable<DocumentEntry["mediaType"]>, signal: AbortSignal): Promise<ParsedDocument>;
  };
  readonly embedder: Embedder & { chunk(document: ParsedDocument, options: ChunkingOptions, signal: AbortSignal): Promise<Chunk[]> };
  readonly store: VectorStore;
  readonly chunking: ChunkingOptions;
  /** Named for failures: in which stage a job is. */
  readonly onStage: (stage: Stage) => void;
}

export type Stage = "parse" | "chunk" | "embed" | "write" | "verify" | "switch";
export type ProcessOutcome = "live" | "superseded";

/**
 * @throws DocumentError when the document itself cannot be processed; DependencyError (retryable) when something it needs is away
 */
export async function processDocument(ref: GenerationRef, deps: ProcessDeps, signal: AbortSignal): Promise<ProcessOutcome> {
  const { ledger, blobs, parser, embedder, store, chunking, onStage } = deps;
  const timings = new Timings(onStage);

  timings.enter("parse");
  if (!(await ledger.advance(ref, "parsing", { newAttempt: true }))) return "superseded";
  const entry = await ledger.get(ref.project, ref.documentId);
  if (entry?.mediaType === undefined)
    throw new DocumentError("parse.unsupported", "The ledger names no format for this document", { hint: "Ingest it again." });
  const document = await parser.parse(blobs.pathOf(entry.contentHash), entry.mediaType, signal);

  timings.enter("chunk");
  const chunks = await embedder.chunk(document, chunking, signal);
  if (!(await ledger.advance(ref, "embedding", { chunks: chunks.length }))) return "superseded";

  timings.enter("embed");
  const vectors = await embedder.embed(
    chunks.map((chunk) => chunk.text),
    signal,
  );

  timings.enter("write");
  if (!(await ledger.advance(ref, "writing"))) return "superseded";
  const title = (document.title ?? "").slice(0, limits.titleCharsMax);
  await store.upsert(recordsOf(ref, entry, title, document, chunks, vectors), signal);

  timings.enter("verify");
  const expected = chunkIdsOf(ref.project, ref.documentId, ref.generation, chunks.length);
  const existing = await store.existing(ref.project, expected, signal);
  if (existing.size !== expected.length) {
    throw new DependencyError(
      "store.rows_missing",
      `${expected.length - existing.size} of ${expected.length} rows written are not in the vector store`,
    );
  }

  timings.enter("switch");
  const tokens = chunks.reduce((sum, chunk) => sum + chunk.tokens, 0);
  const live = await ledger.switchLive(ref, { chunks: chunks.length, tokens, title, metadata: document.metadata, timings: timings.stop() });
  return live ? "live" : "superseded";
}

function recordsOf(
  ref: GenerationRef,
  entry: DocumentEntry & { mediaType?: unknown },
  title: string,
  document: ParsedDocument,
  chunks: readonly Chunk[],
  vectors: readonly Float32Array[],
): ChunkRecord[] {
  const { project, documentId, generation } = ref;
  const mediaType = entry.mediaType as ChunkRecord["mediaType"];
  return chunks.map((chunk, index) => {
    const vector = vectors[index];
    if (vector === undefined)
      throw new DependencyError("embed.incomplete", `${vectors.length} embeddings came back for ${chunks.length} chunks`);
    const chunkId = chunkIdOf(project, documentId, generation, chunk.ordinal);
    return { chunkId, project, documentId, generation, source: entry.source, mediaType, title, metadata: document.metadata, chunk, vector };
  });
}

/** Milliseconds per stage, for the ledger. */
class Timings {
  readonly #onStage: (stage: Stage) => void;
  readonly #milliseconds: Record<string, number> = {};
  #current: { stage: Stage; since: number } | undefined;

  constructor(onStage: (stage: Stage) => void) {
    this.#onStage = onStage;
  }

  enter(stage: Stage): void {
    this.stop();
    this.#current = { stage, since: performance.now() };
    this.#onStage(stage);
  }

  stop(): Readonly<Record<string, number>> {
    if (this.#current !== undefined) this.#milliseconds[this.#current.stage] = Math.round(performance.now() - this.#current.since);
    this.#current = undefined;
    return this.#milliseconds;
  }
}
