import type { Metadata, Span } from "@millrace/core";

export type DocumentState = "queued" | "parsing" | "embedding" | "live" | "empty" | "failed" | "quarantined" | "deleted";

export interface Document {
  readonly object: "document";
  readonly document_id: string;
  readonly source: string;
  readonly state: DocumentState;
  readonly media_type: string | null;
  readonly bytes: number;
  readonly chunks: number;
  readonly tokens: number;
  readonly title: string;
  readonly metadata: Metadata;
  readonly content_hash: string;
  readonly live_generation: string | null;
  readonly pending_generation: string | null;
  readonly progress: { readonly chunks: number; readonly done: number } | null;
  readonly attempts: number;
  readonly error: { readonly code: string; readonly message: string; readonly stage: string; readonly retryable: boolean } | null;
  readonly retry_at: string | null;
  readonly created_at: string;
  readonly updated_at: string;
  readonly live_at: string | null;
  readonly timings_ms: Readonly<Record<string, number>>;
}

/** A text, or a file with its name. The same source again is an update. */
export type Upload = ({ readonly text: string } | { readonly file: Blob; readonly name: string }) & {
  readonly source?: string;
  readonly media_type?: string;
  readonly metadata?: Metadata;
  /** Documents with the same one share an event stream. */
  readonly ingest_id?: string;
};

export interface UploadReply extends Document {
  readonly outcome: string;
  readonly ingest_id: string;
  readonly status_url: string;
  readonly events_url: string;
}

export interface DocumentQuery {
  readonly state?: DocumentState;
  readonly prefix?: string;
  readonly limit?: number;
  readonly cursor?: string;
}

export interface DocumentPage {
  readonly object: "list";
  readonly data: readonly Document[];
  readonly next_cursor: string | null;
}

export interface DeletedDocument {
  readonly object: "document.deleted";
  readonly document_id: string;
  readonly source: string;
  readonly deleted: true;
}

export interface Chunk {
  readonly object: "chunk";
  readonly chunk_id: string;
  readonly ordinal: number;
  readonly text: string;
  readonly span: Span;
  readonly page: number | null;
  readonly headings: readonly string[];
  readonly tokens: number;
}

export interface ChunkPage {
  readonly object: "list";
  readonly data: readonly Chunk[];
  readonly total: number;
  readonly next_offset: number | null;
}

/** A step of a document; its last has one of the final states. */
export interface IngestEvent {
  readonly document_id: string;
  readonly source: string;
  readonly state: DocumentState;
  readonly chunks: number;
  readonly done: number;
  readonly tokens: number;
  readonly error?: { readonly code: string; readonly message: string };
}
