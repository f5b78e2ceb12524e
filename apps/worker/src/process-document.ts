import { randomUUID } from "node:crypto";
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
  type MediaType,
  type Metadata,
  type ParsedDocument,
  type VectorStore,
} from "@millrace/core";
import type { DocumentEntry, GenerationRef, Ledger } from "@millrace/ledger";
import { type KnownVectors, openKnownVectors } from "./known-vectors.ts";
import type { ParsedPart } from "./parse/parser.ts";
import { persist } from "./persist.ts";

/**
 * The life of one job, top to bottom: parse → chunk → embed → write → verify → switch. A document is parsed in parts and embedded and written some
 * chunks at a time, so that memory does not grow with it and a crash repeats little. Until the switch the generation before answers queries; a
 * crash at any line leaves either the old or the new, since every write is idempotent and nothing of a pending generation is visible.
 * Every step is entered in the ledger first; "superseded" there (a newer version, a delete) ends the job quietly.
 */
export interface ProcessDeps {
  readonly ledger: Ledger;
  readonly blobs: BlobStore & { pathOf(contentHash: string): string };
  readonly parser: { parse(path: string, mediaType: MediaType, fromPage: number, signal: AbortSignal): Promise<ParsedPart> };
  readonly embedder: ChunkingEmbedder;
  readonly store: VectorStore;
  readonly chunking: ChunkingOptions;
  /** Told what is about to be done: names the stage of a failure. */
  readonly onStage: (stage: Stage) => void;
}

/** Cutting needs the tokenizer, which lives with the model. */
export type ChunkingEmbedder = Embedder & {
  chunk(document: ParsedDocument, options: ChunkingOptions, signal: AbortSignal): Promise<Chunk[]>;
};

export type Stage = "parse" | "chunk" | "embed" | "write" | "verify" | "switch" | "done";
export interface ProcessOutcome {
  readonly outcome: "live" | "superseded" | "quarantined";
  /** Chunks of the version, and how many of them had to be embedded: the vectors of the others were known. */
  readonly chunks: number;
  readonly embedded: number;
}

/**
 * @throws DocumentError when the document itself cannot be processed; DependencyError (retryable) when something it needs is away for long
 */
export async function processDocument(ref: GenerationRef, deps: ProcessDeps, signal: AbortSignal): Promise<ProcessOutcome> {
  const { ledger, store, embedder, chunking, onStage } = deps;
  const timings = new Timings(onStage);

  timings.enter("parse");
  const run = randomUUID();
  const begun = await persist(() => ledger.begin(ref, run), signal);
  const counts = { chunks: 0, embedded: 0 };
  if (begun !== "begun") return { outcome: begun, ...counts };
  const entry = await persist(() => ledger.get(ref.project, ref.documentId), signal);
  if (entry?.mediaType === undefined)
    throw new DocumentError("parse.unsupported", "The ledger names no format for this document", { hint: "Ingest it again." });
  const known = await persist(() => openKnownVectors(ref, entry, deps, signal), signal);

  let facts: DocumentFacts | undefined;
  let tokens = 0;
  for await (const document of parts(entry, deps, timings, signal)) {
    facts ??= factsOf(entry, document);
    timings.enter("chunk");
    const chunks = (await embedder.chunk(document, chunking, signal)).map((chunk) => ({
      ...chunk,
      ordinal: chunk.ordinal + counts.chunks,
    }));
    if (counts.chunks + chunks.length > limits.chunksPerDocumentMax) {
      throw new DocumentError("chunk.too_many", `More than ${limits.chunksPerDocumentMax} chunks`, { hint: "Split the document." });
    }
    for (let from = 0; from < chunks.length; from += limits.chunksPerWrite) {
      const written = await writeChunks(
        ref,
        { ...facts, chunks: chunks.slice(from, from + limits.chunksPerWrite), chunkCount: counts.chunks + chunks.length },
        { ...deps, known, timings },
        signal,
      );
      if (written === undefined) return { outcome: "superseded", ...counts };
      counts.embedded += written.embedded;
    }
    counts.chunks += chunks.length;
    tokens += chunks.reduce((sum, chunk) => sum + chunk.tokens, 0);
  }

  timings.enter("verify");
  if (!(await persist(() => ledger.advance(ref, "writing", { chunks: counts.chunks, done: counts.chunks }), signal)))
    return { outcome: "superseded", ...counts };
  const expected = chunkIdsOf(ref.project, ref.documentId, ref.generation, counts.chunks);
  const existing = await persist(() => store.existing(ref.project, expected, signal), signal);
  if (existing.size !== expected.length) {
    throw new DependencyError(
      "store.rows_missing",
      `${expected.length - existing.size} of ${expected.length} rows written are not in the vector store`,
    );
  }

  timings.enter("switch");
  const { title = "", metadata = entry.givenMetadata } = facts ?? {};
  const version = { chunks: counts.chunks, tokens, title, metadata, timings: timings.stop() };
  const live = await persist(() => ledger.switchLive(ref, version), signal);
  onStage("done");
  return { outcome: live ? "live" : "superseded", ...counts };
}

/** The document part by part. While one is worked on, the next is being parsed. */
async function* parts(
  entry: DocumentEntry,
  { parser, blobs }: ProcessDeps,
  timings: Timings,
  signal: AbortSignal,
): AsyncGenerator<ParsedDocument> {
  const path = blobs.pathOf(entry.contentHash);
  const parse = (fromPage: number): Promise<ParsedPart> => parser.parse(path, entry.mediaType as MediaType, fromPage, signal);
  let coming: Promise<ParsedPart> | undefined = parse(1);
  while (coming !== undefined) {
    timings.enter("parse");
    const part: ParsedPart = await coming;
    coming = part.nextPage === undefined ? undefined : parse(part.nextPage);
    coming?.catch(() => undefined); // thrown where it is awaited, unless the job ends before
    yield part.document;
  }
}

/** What all chunks of a document say of it. */
interface DocumentFacts {
  readonly source: string;
  readonly mediaType: MediaType;
  readonly title: string;
  readonly ingestedAt: number;
  readonly metadata: Metadata;
}

function factsOf(entry: DocumentEntry, document: ParsedDocument): DocumentFacts {
  return {
    source: entry.source,
    mediaType: entry.mediaType as MediaType,
    title: (document.title ?? "").slice(0, limits.titleCharsMax),
    ingestedAt: entry.plannedAt,
    // What the user says goes before what the document says.
    metadata: { ...document.metadata, ...entry.givenMetadata },
  };
}

/** Embeds what is not known yet and writes the rows. Undefined when superseded. */
async function writeChunks(
  ref: GenerationRef,
  batch: DocumentFacts & { readonly chunks: readonly Chunk[]; readonly chunkCount: number },
  deps: ProcessDeps & { readonly known: KnownVectors; readonly timings: Timings },
  signal: AbortSignal,
): Promise<{ embedded: number } | undefined> {
  const { ledger, embedder, store, known, timings } = deps;
  const { chunks, chunkCount, source, mediaType, title, ingestedAt, metadata } = batch;
  const firstOrdinal = chunks[0]?.ordinal ?? 0;

  timings.enter("embed");
  // Before any row of them exists, so that the rows are found again should this generation be given up.
  if (!(await persist(() => ledger.advance(ref, "embedding", { chunks: chunkCount, done: firstOrdinal }), signal))) return undefined;
  const texts = chunks.map((chunk) => chunk.text);
  const vectors = await persist(() => known.find(texts, firstOrdinal, signal), signal);
  const unknown = texts.flatMap((_, index) => (vectors[index] === undefined ? [index] : []));
  const embedded =
    unknown.length === 0
      ? []
      : await embedder.embed(
          unknown.map((index) => texts[index] ?? ""),
          signal,
        );
  for (const [position, index] of unknown.entries()) vectors[index] = embedded[position];

  timings.enter("write");
  const { project, documentId, generation } = ref;
  const records = chunks.map((chunk, index): ChunkRecord => {
    const vector = vectors[index];
    if (vector === undefined) throw new DependencyError("embed.incomplete", `Too few embeddings came back for ${texts.length} chunks`);
    const chunkId = chunkIdOf(project, documentId, generation, chunk.ordinal);
    return { chunkId, project, documentId, generation, source, mediaType, title, ingestedAt, metadata, chunk, vector };
  });
  await persist(() => store.upsert(records, signal), signal);
  return { embedded: unknown.length };
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
    if (this.#current !== undefined) {
      const { stage, since } = this.#current;
      this.#milliseconds[stage] = (this.#milliseconds[stage] ?? 0) + Math.round(performance.now() - since);
    }
    this.#current = undefined;
    return this.#milliseconds;
  }
}
