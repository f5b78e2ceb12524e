import {
  type ChunkRecord,
  checkVector,
  DependencyError,
  indexedTerms,
  type ProjectName,
  type StoredChunk,
  type StoredHit,
  toStoredChunk,
} from "@millrace/core";
import { type GroupedMetadata, groupMetadata, ungroupMetadata } from "./metadata-groups.ts";

/** A row of the collection: the fields of `schema.ts` without the generated sparse vector. */
export interface Row {
  readonly chunk_id: string;
  readonly project: string;
  readonly document_id: string;
  readonly generation: string;
  readonly source: string;
  readonly media_type: StoredHit["mediaType"];
  readonly title: string;
  /** The SDK gives 64-bit integers back as text. */
  readonly ingested_at: number | string;
  readonly ordinal: number;
  readonly text: string;
  readonly span_start: number;
  readonly span_end: number;
  /** 0: none. */
  readonly page: number;
  readonly headings: readonly string[];
  readonly tokens: number;
  readonly metadata: GroupedMetadata;
  readonly terms: string;
  readonly dense: Float32Array;
}

/** The fields that a search gives back. */
export const outputFields = [
  "chunk_id",
  "project",
  "document_id",
  "generation",
  "source",
  "media_type",
  "title",
  "ingested_at",
  "ordinal",
  "text",
  "span_start",
  "span_end",
  "page",
  "headings",
  "tokens",
  "metadata",
] as const satisfies readonly (keyof Row)[];

/** @throws the errors of `toStoredChunk` and `checkVector` */
export function toRow(record: ChunkRecord, dimension: number): Row {
  const chunk = toStoredChunk(record);
  return {
    chunk_id: chunk.chunkId,
    project: chunk.project,
    document_id: chunk.documentId,
    generation: chunk.generation,
    source: chunk.source,
    media_type: chunk.mediaType,
    title: chunk.title,
    ingested_at: chunk.ingestedAt,
    ordinal: chunk.ordinal,
    text: chunk.text,
    span_start: chunk.span.start,
    span_end: chunk.span.end,
    page: chunk.page ?? 0,
    headings: chunk.headings,
    tokens: chunk.tokens,
    metadata: groupMetadata(chunk.metadata),
    terms: indexedTerms(chunk),
    dense: checkVector(record.vector, dimension),
  };
}

/** UTF-8 bytes of the row on the wire, near enough to batch by. */
export function rowBytes(row: Row): number {
  return (
    row.dense.length * 4 +
    Buffer.byteLength(row.text) +
    Buffer.byteLength(row.terms) +
    Buffer.byteLength(row.source) +
    Buffer.byteLength(row.title) +
    Buffer.byteLength(JSON.stringify(row.metadata)) +
    Buffer.byteLength(JSON.stringify(row.headings)) +
    256
  );
}

/**
 * The project clause is part of every search; a row of another project can only be a fault of the engine or of this
 * package, and then nothing of the answer is fit to be shown.
 * @throws DependencyError `store.foreign_row`
 */
export function toHit(row: Omit<Row, "dense" | "terms"> & { readonly score: number }, project: ProjectName): StoredHit {
  return { ...toChunk(row, project), score: row.score };
}

/** @throws DependencyError `store.foreign_row` */
export function toChunk(row: Omit<Row, "dense" | "terms">, project: ProjectName): StoredChunk {
  if (row.project !== project) {
    throw new DependencyError("store.foreign_row", `A search in project "${project}" returned a row of another project`);
  }
  return {
    chunkId: row.chunk_id,
    project: row.project,
    documentId: row.document_id,
    generation: row.generation,
    source: row.source,
    mediaType: row.media_type,
    title: row.title,
    ingestedAt: Number(row.ingested_at),
    metadata: ungroupMetadata(row.metadata),
    ordinal: row.ordinal,
    text: row.text,
    span: { start: row.span_start, end: row.span_end },
    ...(row.page === 0 ? {} : { page: row.page }),
    headings: row.headings,
    tokens: row.tokens,
  };
}
