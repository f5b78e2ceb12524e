import type { MediaType, Metadata } from "@millrace/core";

/** States a user sees. `docs/job-states.md` draws the transitions. */
export const documentStates = ["queued", "parsing", "embedding", "live", "empty", "failed", "quarantined", "deleted"] as const;
export type DocumentState = (typeof documentStates)[number];

/** States in which nothing more happens by itself. */
export const settledStates: ReadonlySet<DocumentState> = new Set<DocumentState>(["live", "empty", "failed", "quarantined", "deleted"]);

/** States in which a job is due or at work. */
export const openStates: readonly DocumentState[] = documentStates.filter((state) => !settledStates.has(state));

export interface DocumentFailure {
  readonly code: string;
  readonly message: string;
  readonly stage: string;
  readonly retryable: boolean;
}

/** One document as the ledger knows it. Times are milliseconds since the epoch by the Redis clock. */
export interface DocumentEntry {
  readonly documentId: string;
  readonly source: string;
  readonly state: DocumentState;
  readonly mediaType: MediaType | undefined;
  readonly contentHash: string;
  readonly fingerprint: string;
  /** What the live version was made of, and how; empty without one. */
  readonly liveContentHash: string;
  readonly liveFingerprint: string;
  readonly bytes: number;
  /** Where the bytes were read from, so that two folders cannot silently fight for one source name. */
  readonly origin: string;
  /** The version being processed; undefined when none is. */
  readonly pendingGeneration: string | undefined;
  /** The version that answers queries; undefined before the first and after a delete. */
  readonly liveGeneration: string | undefined;
  /** Chunks of the pending version as far as known, and how many of them are written. */
  readonly pendingChunks: number;
  readonly pendingDone: number;
  /** A document that was live with the same bytes and fingerprint when the run of the pending version began. */
  readonly twinId: string | undefined;
  /** Asked to be processed from scratch: no vector of an earlier version is used again. */
  readonly fresh: boolean;
  readonly liveChunks: number;
  readonly liveTokens: number;
  readonly title: string;
  readonly metadata: Metadata;
  /** What the user said about it; goes before what the document says itself. */
  readonly givenMetadata: Metadata;
  /** Runs of the pending version, or of the one that ended last. */
  readonly attempts: number;
  readonly failure: DocumentFailure | undefined;
  /** When a pending version that failed is tried again; undefined when it does not wait for that. */
  readonly retryAt: number | undefined;
  readonly ingestId: string;
  readonly createdAt: number;
  /** When the version that is pending, or was last, arrived. */
  readonly plannedAt: number;
  readonly updatedAt: number;
  readonly liveAt: number | undefined;
  /** Milliseconds per stage of the version that went live last. */
  readonly timings: Readonly<Record<string, number>>;
}

/** Rebuilds an entry from the fields of its Redis hash; undefined when there is none. */
export function documentEntryFrom(documentId: string, fields: Readonly<Record<string, string>>): DocumentEntry | undefined {
  const state = fields["state"];
  if (state === undefined) return undefined;
  return {
    documentId,
    source: fields["source"] ?? "",
    // The hash is written by our own transitions only, so its vocabulary is ours.
    state: state as DocumentState,
    mediaType: (fields["mediaType"] || undefined) as MediaType | undefined,
    contentHash: fields["contentHash"] ?? "",
    fingerprint: fields["fingerprint"] ?? "",
    liveContentHash: fields["liveContentHash"] ?? "",
    liveFingerprint: fields["liveFingerprint"] ?? "",
    bytes: Number(fields["bytes"] ?? 0),
    origin: fields["origin"] ?? "",
    pendingGeneration: fields["pendingGeneration"] || undefined,
    liveGeneration: fields["liveGeneration"] || undefined,
    pendingChunks: Number(fields["pendingChunks"] ?? 0),
    pendingDone: Number(fields["pendingDone"] ?? 0),
    twinId: fields["twin"] || undefined,
    fresh: fields["fresh"] === "1",
    liveChunks: Number(fields["liveChunks"] ?? 0),
    liveTokens: Number(fields["liveTokens"] ?? 0),
    title: fields["title"] ?? "",
    metadata: JSON.parse(fields["metadata"] || "{}") as Metadata,
    givenMetadata: JSON.parse(fields["givenMetadata"] || "{}") as Metadata,
    attempts: Number(fields["attempts"] ?? 0),
    failure: fields["errorCode"]
      ? {
          code: fields["errorCode"],
          message: fields["errorMessage"] ?? "",
          stage: fields["errorStage"] ?? "",
          retryable: fields["errorRetryable"] === "1",
        }
      : undefined,
    retryAt: fields["retryAt"] ? Number(fields["retryAt"]) : undefined,
    ingestId: fields["ingestId"] ?? "",
    createdAt: Number(fields["createdAt"] ?? 0),
    plannedAt: Number(fields["plannedAt"] ?? 0),
    updatedAt: Number(fields["updatedAt"] ?? 0),
    liveAt: fields["liveAt"] ? Number(fields["liveAt"]) : undefined,
    timings: JSON.parse(fields["timings"] || "{}") as Record<string, number>,
  };
}
