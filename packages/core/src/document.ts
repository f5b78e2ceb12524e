import type { MediaType } from "./media-type.ts";
import type { ProjectName } from "./project.ts";

/** Half-open range [start, end) of UTF-16 code units in `ParsedDocument.text`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export type BlockKind = "heading" | "paragraph" | "list" | "code" | "table";

/** A structural piece of the parsed text. Blocks are in order, do not overlap, and cover every non-space character. */
export interface Block extends Span {
  readonly kind: BlockKind;
  /** 1 to 6, on headings only. */
  readonly level?: number;
}

/** What a parser makes of the source bytes: one text, its structure, and where its pages begin. */
export interface ParsedDocument {
  /** Valid UTF-16 without NUL or lone surrogates; line ends are `\n`. */
  readonly text: string;
  readonly blocks: readonly Block[];
  /** Start offset of each page in `text`, pages[0] === 0; absent for formats without pages. */
  readonly pageStarts?: readonly number[];
  /** 1-based number of the page at pageStarts[0]; 1 where absent. */
  readonly firstPage?: number;
  readonly title?: string;
  /** Flat facts found in the document itself (front matter, PDF info). */
  readonly metadata: Metadata;
}

export type MetadataValue = string | number | boolean | readonly string[];
export type Metadata = Readonly<Record<string, MetadataValue>>;

/** A slice of a document, small enough for the embedding model. `text === parsed.text.slice(span.start, span.end)`. */
export interface Chunk {
  readonly ordinal: number;
  readonly text: string;
  readonly span: Span;
  /** Tokens of `text` by the embedding model's tokenizer, its special tokens included. */
  readonly tokens: number;
  /** 1-based page on which the chunk starts; absent for formats without pages. */
  readonly page?: number;
  /** Titles of the headings above the chunk's start, outermost first. */
  readonly headings: readonly string[];
  /** What the text is embedded under; absent where nothing stands above it, or it leaves no room. */
  readonly header?: string;
}

/** A chunk with its vector, as stored: one row of the vector store. */
export interface ChunkRecord {
  readonly chunkId: string;
  readonly project: ProjectName;
  readonly documentId: string;
  readonly generation: string;
  readonly source: string;
  readonly mediaType: MediaType;
  readonly title: string;
  /** When the version arrived, milliseconds since the epoch. */
  readonly ingestedAt: number;
  readonly metadata: Metadata;
  readonly chunk: Chunk;
  /** L2-normalised, `EmbeddingSpace.dimension` long. */
  readonly vector: Float32Array;
}
