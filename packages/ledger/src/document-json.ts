import type { DocumentEntry } from "./document-entry.ts";

/** A document as programs see it, over HTTP and on the command line. Where it was read from is told to who runs the machine only: `withOrigin`. */
export function documentJson(entry: DocumentEntry, options: { readonly withOrigin: boolean }): Readonly<Record<string, unknown>> {
  return {
    object: "document",
    document_id: entry.documentId,
    source: entry.source,
    state: entry.state,
    media_type: entry.mediaType ?? null,
    bytes: entry.bytes,
    chunks: entry.liveChunks,
    tokens: entry.liveTokens,
    title: entry.title,
    metadata: { ...entry.metadata, ...entry.givenMetadata },
    ...(options.withOrigin ? { origin: entry.origin } : {}),
    content_hash: entry.contentHash,
    live_generation: entry.liveGeneration ?? null,
    pending_generation: entry.pendingGeneration ?? null,
    progress: entry.pendingGeneration === undefined ? null : { chunks: entry.pendingChunks, done: entry.pendingDone },
    attempts: entry.attempts,
    error: entry.failure ?? null,
    retry_at: entry.retryAt === undefined ? null : timeText(entry.retryAt),
    created_at: timeText(entry.createdAt),
    updated_at: timeText(entry.updatedAt),
    live_at: entry.liveAt === undefined ? null : timeText(entry.liveAt),
    timings_ms: entry.timings,
  };
}

function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
