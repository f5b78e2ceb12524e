import { documentIdOf, type ProjectName } from "@millrace/core";
import type { DocumentEntry, DocumentState, Ledger } from "@millrace/ledger";

/** A document by its id or its source; undefined when there is none, or it was deleted. */
export async function findDocument(ledger: Ledger, project: ProjectName, name: string): Promise<DocumentEntry | undefined> {
  const byId = /^[0-9a-f]{32}$/.test(name) ? await ledger.get(project, name) : undefined;
  const entry = byId ?? (await ledger.get(project, documentIdOf(project, name.normalize("NFC"))));
  return entry?.state === "deleted" ? undefined : entry;
}

const pageSize = 500;

/** All documents in a state or with a source that begins so, page by page. */
export async function* listDocuments(
  ledger: Ledger,
  project: ProjectName,
  only: { readonly state?: DocumentState; readonly sourcePrefix?: string },
): AsyncGenerator<DocumentEntry> {
  let cursor: string | undefined;
  do {
    const page = await ledger.list({ project, limit: pageSize, ...only, ...(cursor === undefined ? {} : { cursor }) });
    yield* page.entries;
    cursor = page.next;
  } while (cursor !== undefined);
}

/** How documents appear in JSON output: the words of the HTTP interface. */
export function documentJson(entry: DocumentEntry): Readonly<Record<string, unknown>> {
  return {
    document_id: entry.documentId,
    source: entry.source,
    state: entry.state,
    media_type: entry.mediaType ?? null,
    bytes: entry.bytes,
    chunks: entry.liveChunks,
    tokens: entry.liveTokens,
    title: entry.title,
    metadata: entry.metadata,
    origin: entry.origin,
    content_hash: entry.contentHash,
    live_generation: entry.liveGeneration ?? null,
    pending_generation: entry.pendingGeneration ?? null,
    attempts: entry.attempts,
    error: entry.failure ?? null,
    created_at: timeText(entry.createdAt),
    updated_at: timeText(entry.updatedAt),
    live_at: entry.liveAt === undefined ? null : timeText(entry.liveAt),
    timings_ms: entry.timings,
  };
}

function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
