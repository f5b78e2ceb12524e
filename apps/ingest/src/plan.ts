import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { documentIdOf, errorMessage, fingerprintWith, type MediaType, type Metadata, mediaTypeOf, type ProjectName } from "@millrace/core";
import type { DocumentEntry, Ledger } from "@millrace/ledger";
import { listDocuments } from "./document-lookup.ts";
import type { WalkResult } from "./walk.ts";

export interface PlannedChange {
  readonly action: "add" | "update" | "unchanged" | "remove" | "fail";
  readonly source: string;
  readonly bytes: number;
  /** Of those to be embedded: 0 for what is not processed, or has the content of a document that is there. */
  readonly estimatedChunks: number;
  readonly reason: string;
}

/** Bytes per chunk where the project has no documents of the format to learn from; as measured on documentation and reports. */
const defaultBytesPerChunk: Readonly<Partial<Record<MediaType, number>>> = { "application/pdf": 12_000, "text/html": 2_500 };
const otherBytesPerChunk = 800;
/** Documents of the project that the estimate learns from. */
const sampleMax = 500;

/** What an ingest would do, without doing any of it: nothing is stored, queued or deleted. */
export async function* planChanges(
  found: WalkResult,
  removed: readonly DocumentEntry[],
  request: { readonly project: ProjectName; readonly fingerprint: string; readonly metadata: Metadata; readonly force: boolean },
  ledger: Ledger,
  signal: AbortSignal,
): AsyncGenerator<PlannedChange> {
  const { project, force } = request;
  const fingerprint = fingerprintWith(request.fingerprint, request.metadata);
  const bytesPerChunk = await learnBytesPerChunk(ledger, project);
  const nothing = { estimatedChunks: 0, reason: "" };
  for (const file of found.failed)
    yield { action: "fail", source: file.source, bytes: file.bytes, estimatedChunks: 0, reason: file.message };
  for (const { source, origin, bytes } of found.files) {
    signal.throwIfAborted();
    const entry = await ledger.get(project, documentIdOf(project, source));
    let contentHash: string;
    try {
      contentHash = await hashFile(origin, signal);
    } catch (error) {
      signal.throwIfAborted();
      yield { action: "fail", source, bytes, estimatedChunks: 0, reason: errorMessage(error) };
      continue;
    }
    const known = entry !== undefined && entry.state !== "deleted";
    const same = known && entry.contentHash === contentHash && entry.fingerprint === fingerprint && !force;
    if (same && (entry.state === "live" || entry.state === "empty")) yield { action: "unchanged", source, bytes, ...nothing };
    else if (same && entry.failure?.retryable === false)
      yield { action: "fail", source, bytes, estimatedChunks: 0, reason: entry.failure.message };
    else {
      const action = known && entry.liveGeneration !== undefined ? "update" : "add";
      const twin = force ? undefined : await ledger.twin(project, contentHash, fingerprint);
      if (twin !== undefined) {
        const name = (await ledger.get(project, twin.documentId))?.source ?? twin.documentId;
        const isGone = removed.some(({ documentId }) => documentId === twin.documentId);
        yield { action, source, bytes, estimatedChunks: 0, reason: isGone ? `renamed from ${name}` : `same content as ${name}` };
        continue;
      }
      const estimatedChunks = Math.max(1, Math.round(bytes / bytesPerChunk(mediaTypeOf(source))));
      yield { action, source, bytes, estimatedChunks, reason: "" };
    }
  }
  for (const { source, bytes } of removed) yield { action: "remove", source, bytes, ...nothing };
}

async function learnBytesPerChunk(ledger: Ledger, project: ProjectName): Promise<(mediaType: MediaType | undefined) => number> {
  const sums = new Map<MediaType | undefined, { bytes: number; chunks: number }>();
  let sampled = 0;
  for await (const { mediaType, bytes, liveChunks } of listDocuments(ledger, project, { state: "live" })) {
    const sum = sums.get(mediaType) ?? { bytes: 0, chunks: 0 };
    sums.set(mediaType, { bytes: sum.bytes + bytes, chunks: sum.chunks + liveChunks });
    if (++sampled === sampleMax) break;
  }
  return (mediaType) => {
    const sum = sums.get(mediaType);
    if (sum !== undefined && sum.chunks > 0) return sum.bytes / sum.chunks;
    return (mediaType === undefined ? undefined : defaultBytesPerChunk[mediaType]) ?? otherBytesPerChunk;
  };
}

async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { signal })) hash.update(piece as Buffer);
  return hash.digest("hex");
}
