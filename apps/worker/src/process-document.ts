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
  embeddedText,
  limits,
  type MediaType,
  type Metadata,
  type ParsedDocument,
  type ProjectName,
  type VectorStore,
} from "@millrace/core";
import type { DocumentEntry, GenerationRef, Ledger } from "@millrace/ledger";
import { InFlight } from "./in-flight.ts";
import { type KnownVectors, openKnownVectors } from "./known-vectors.ts";
import type { ParsedPart } from "./parse/parser.ts";
import { persist } from "./persist.ts";
import { prefetched } from "./prefetched.ts";

/**
 * The life of one job, top to bottom: parse → chunk → embed → write → verify → switch. A document is parsed in parts and embedded and written some
 * chunks at a time, so that memory does not grow with it and a crash repeats little; while some are written, the next are embedded. Until the switch
 * the generation before answers queries; a crash at any line leaves either the old or the new, since every write is idempotent and nothing of a pending generation is visible.
 * Every step is entered in the ledger first; "superseded" there (a newer version, a delete) ends the job quietly.
 */
export interface ProcessDeps {
  readonly ledger: Ledger;
  readonly blobs: BlobStore & { pathOf(contentHash: string): string };
  readonly parser: { parse(path: string, mediaType: MediaType, fromPage: number, signal: AbortSignal): Promise<ParsedPart> };
  readonly embedder: ChunkingEmbedder;
  readonly store: VectorStore;
  readonly chunking: ChunkingOptions;
  /** Whether this worker works on nothing else until the document is done. */
  readonly alone: boolean;
  /** Rejects where the project's vectors are not to be made by this worker. */
  readonly claimSpace: (project: ProjectName) => Promise<void>;
  /** Told what is about to be done: names the stage of a failure. */
  readonly onStage: (stage: Stage) => void;
  /** Told what failed, before the error is thrown. */
  readonly onFailedStage: (stage: Stage) => void;
}

/** Cutting needs the tokenizer, which lives with the model. */
export type ChunkingEmbedder = Embedder & {
  chunk(document: ParsedDocument, options: ChunkingOptions, signal: AbortSignal): Promise<readonly Chunk[]>;
};

export type Stage = "parse" | "chunk" | "embed" | "write" | "verify" | "switch" | "done";
export interface ProcessOutcome {
  readonly outcome: "live" | "superseded" | "quarantined" | "suspected";
  /** Chunks of the version, and how many of them had to be embedded: the vectors of the others were known. */
  readonly chunks: number;
  readonly embedded: number;
  /** Whether rows of an earlier or a given up version may be left for collection. */
  readonly leftRows: boolean;
  /** How often it has died with its worker at one point. */
  readonly deaths: number;
}

/** Batches of one document that are worked on at the same time: while one is written, the next is embedded. */
const batchesInFlightMax = 2;

/**
 * @throws DocumentError when the document itself cannot be processed; DependencyError (retryable) when something it needs is away for long
 */
export async function processDocument(ref: GenerationRef, deps: ProcessDeps, signal: AbortSignal): Promise<ProcessOutcome> {
  const { ledger, store, claimSpace, onStage, alone } = deps;
  const stages = new Stages(deps);
  const counts = { chunks: 0, embedded: 0, leftRows: true, deaths: 0 };
  // Asked for together, so that it is one packet to Redis and one back.
  const claimed = claimSpace(ref.project);
  claimed.catch(() => undefined); // thrown where it is awaited, unless the job ends before
  const begin = () => Promise.all([ledger.begin(ref, randomUUID(), { alone }), ledger.get(ref.project, ref.documentId)]);
  const [begun, entry] = await stages.run("parse", () => persist(begin, signal));
  counts.deaths = begun.deaths;
  if (begun.outcome !== "begun") return { ...counts, outcome: begun.outcome };
  await claimed;
  if (entry?.mediaType === undefined)
    throw new DocumentError("parse.unsupported", "The ledger names no format for this document", { hint: "Ingest it again." });

  const written = await writeDocument(ref, entry, { ...deps, stages }, signal);
  counts.chunks = written.chunks;
  counts.embedded = written.embedded;
  if (written.superseded) return { outcome: "superseded", ...counts };

  await stages.run("verify", async () => {
    const expected = chunkIdsOf(ref.project, ref.documentId, ref.generation, counts.chunks);
    const existing = await persist(() => store.existing(ref.project, expected, signal), signal);
    if (existing.size === expected.length) return;
    throw new DependencyError(
      "store.rows_missing",
      `${expected.length - existing.size} of ${expected.length} rows written are not in the vector store`,
    );
  });

  const { title = "", metadata = entry.givenMetadata } = written.facts ?? {};
  const version = { chunks: counts.chunks, tokens: written.tokens, title, metadata, timings: stages.milliseconds };
  const live = await stages.run("switch", () => persist(() => ledger.switchLive(ref, version), signal));
  onStage("done");
  return { ...counts, outcome: live ? "live" : "superseded", leftRows: !live || entry.liveGeneration !== undefined };
}

interface WrittenDocument {
  superseded: boolean;
  chunks: number;
  embedded: number;
  tokens: number;
  facts: DocumentFacts | undefined;
}

type StageDeps = ProcessDeps & { readonly stages: Stages };

/** Parses, cuts, embeds and writes a document. However it ends, nothing of it is being written any more when it has. */
async function writeDocument(ref: GenerationRef, entry: DocumentEntry, deps: StageDeps, signal: AbortSignal): Promise<WrittenDocument> {
  const known = await persist(() => openKnownVectors(ref, entry, deps, signal), signal);
  const written: WrittenDocument = { superseded: false, chunks: 0, embedded: 0, tokens: 0, facts: undefined };
  const batches = new InFlight(batchesInFlightMax);
  try {
    for await (const { facts, chunks: cut } of prefetched(cutParts(entry, deps, signal))) {
      written.facts = facts;
      const before = written.chunks;
      const chunks = cut.map((chunk) => ({ ...chunk, ordinal: chunk.ordinal + before }));
      const chunkCount = before + chunks.length;
      if (chunkCount > limits.chunksPerDocumentMax) {
        throw new DocumentError("chunk.too_many", `More than ${limits.chunksPerDocumentMax} chunks`, { hint: "Split the document." });
      }
      for (let from = 0; from < chunks.length; from += limits.chunksPerWrite) {
        const batch = { ...facts, chunks: chunks.slice(from, from + limits.chunksPerWrite) };
        // Before any row of them exists, so that the rows are found again should this generation be given up.
        const progress = { chunks: chunkCount, done: before + from };
        if (!(await persist(() => deps.ledger.advance(ref, progress), signal))) return { ...written, superseded: true };
        await batches.add(async () => {
          // Read after the wait: another batch counts meanwhile.
          const embedded = await writeChunks(ref, batch, { ...deps, known }, signal);
          written.embedded += embedded;
        });
      }
      written.chunks = chunkCount;
      written.tokens += chunks.reduce((sum, chunk) => sum + chunk.tokens, 0);
    }
    await batches.finish();
  } finally {
    await batches.settle();
  }
  return written;
}

/** The document part by part, cut. What all chunks say of it follows from its first part. */
async function* cutParts(
  entry: DocumentEntry,
  deps: StageDeps,
  signal: AbortSignal,
): AsyncGenerator<{ readonly facts: DocumentFacts; readonly chunks: readonly Chunk[] }> {
  const { embedder, chunking, stages } = deps;
  let facts: DocumentFacts | undefined;
  for await (const document of prefetched(parts(entry, deps, signal))) {
    facts ??= factsOf(entry, document);
    const titled = { ...document, title: facts.title };
    yield { facts, chunks: await stages.run("chunk", () => embedder.chunk(titled, chunking, signal)) };
  }
}

async function* parts(entry: DocumentEntry, { parser, blobs, stages }: StageDeps, signal: AbortSignal): AsyncGenerator<ParsedDocument> {
  const path = blobs.pathOf(entry.contentHash);
  const parse = (fromPage: number): Promise<ParsedPart> => parser.parse(path, entry.mediaType as MediaType, fromPage, signal);
  for (let page: number | undefined = 1; page !== undefined; ) {
    const parsing: Promise<ParsedPart> = parse(page);
    const part = await stages.run("parse", () => parsing);
    page = part.nextPage;
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

/** Embeds what is not known yet and writes the rows. @returns how many were embedded */
async function writeChunks(
  ref: GenerationRef,
  batch: DocumentFacts & { readonly chunks: readonly Chunk[] },
  deps: StageDeps & { readonly known: KnownVectors },
  signal: AbortSignal,
): Promise<number> {
  const { embedder, store, known, stages } = deps;
  const { chunks, source, mediaType, title, ingestedAt, metadata } = batch;

  const { vectors, embedded } = await stages.run("embed", async () => {
    const found = await persist(() => known.find(title, chunks, signal), signal);
    const unknown = chunks.filter((_, index) => found[index] === undefined);
    const computed = (unknown.length === 0 ? [] : await embedder.embed(unknown.map(embeddedText), signal)).values();
    return { vectors: found.map((vector) => vector ?? computed.next().value), embedded: unknown.length };
  });

  const { project, documentId, generation } = ref;
  const records = chunks.map((chunk, index): ChunkRecord => {
    const vector = vectors[index];
    if (vector === undefined) throw new DependencyError("embed.incomplete", `Too few embeddings came back for ${chunks.length} chunks`);
    const chunkId = chunkIdOf(project, documentId, generation, chunk.ordinal);
    return { chunkId, project, documentId, generation, source, mediaType, title, ingestedAt, metadata, chunk, vector };
  });
  await stages.run("write", () => persist(() => store.upsert(records, signal), signal));
  return embedded;
}

/** Announces the stages of a job and sums up how long they took, side by side ones both in full. */
class Stages {
  readonly #deps: Pick<ProcessDeps, "onStage" | "onFailedStage">;
  /** Milliseconds per stage, for the ledger. */
  readonly milliseconds: Record<string, number> = {};

  constructor(deps: Pick<ProcessDeps, "onStage" | "onFailedStage">) {
    this.#deps = deps;
  }

  async run<T>(stage: Stage, work: () => Promise<T>): Promise<T> {
    const since = performance.now();
    this.#deps.onStage(stage);
    try {
      return await work();
    } catch (error) {
      this.#deps.onFailedStage(stage);
      throw error;
    } finally {
      this.milliseconds[stage] = (this.milliseconds[stage] ?? 0) + Math.round(performance.now() - since);
    }
  }
}
