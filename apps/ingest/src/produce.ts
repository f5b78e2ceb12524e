import { stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import {
  documentIdOf,
  fingerprintWith,
  isMillraceError,
  type Metadata,
  type MillraceError,
  mediaTypeOf,
  type ProjectName,
  queuedBytes,
} from "@millrace/core";
import type { DocumentEntry, Ledger, PlanRequest, PlanResult } from "@millrace/ledger";
import type { Producer, Urgency } from "@millrace/queue";
import type { FileBlobStore } from "@millrace/runtime";
import { storeFile } from "./stored-file.ts";
import type { FailedFile, FoundFile } from "./walk.ts";

/**
 * The producer: hash, store the bytes, plan with the ledger, enqueue references. Bytes are durable before the ledger says that there is work,
 * and the ledger knows the work before the queue does, so that an interruption at any point is mended by running the same again.
 */
export interface ProduceDeps {
  readonly ledger: Ledger;
  readonly producer: Producer;
  readonly blobs: FileBlobStore;
}

export interface ProduceRequest {
  readonly project: ProjectName;
  readonly ingestId: string;
  /** Pipeline fingerprint: everything besides the bytes that decides what comes out. */
  readonly fingerprint: string;
  readonly documentBytesMax: number;
  /** Source bytes that may wait in all projects together; beyond it the producer does. */
  readonly queueBytesMax: number;
  readonly urgency: Urgency;
  /** Told how much is queued when the producer begins to wait, and 0 when it goes on. */
  readonly onWaiting: (queued: number) => void;
  readonly metadata: Metadata;
  /** Process again what is unchanged or failed for good before. */
  readonly force: boolean;
  /** A source that belongs to another file becomes this one's. */
  readonly takeOver: boolean;
}

/** What became of one file before it reached the queue. */
export interface PlannedDocument {
  readonly source: string;
  readonly documentId: string;
  readonly bytes: number;
  readonly outcome: PlanResult["outcome"];
  /** Empty where the file could not be read. */
  readonly contentHash: string;
  /** With the outcome `unchanged`: whether there is any text in it. */
  readonly empty?: boolean;
  /** With the outcome `failed`. */
  readonly failure?: { readonly code: string; readonly message: string };
}

/** Of the first batch, so that the workers have something to do soon; each has four times as many as the one before. */
const batchDocumentsMin = 8;
const batchDocumentsMax = 128;
const batchBytesMax = 64 * 1024 * 1024;
/** Files read and stored at the same time. Their bytes are limited by the batch; the more of them wait for the disk, the fewer of its turns they need. */
const filesInHand = 16;
const roomPollMs = 500;

/**
 * Yields one batch after the other, each when its references are on the queue.
 * @throws DependencyError `ledger.unavailable` | `queue.unavailable` | `blob.unavailable`
 */
export async function* produce(
  files: readonly FoundFile[],
  deps: ProduceDeps,
  request: ProduceRequest,
  signal: AbortSignal,
): AsyncGenerator<PlannedDocument[]> {
  const { project } = request;
  for (const batch of batchesOf(files)) {
    signal.throwIfAborted();
    await waitForRoom(deps, request, signal);
    const entries = await deps.ledger.getMany(
      project,
      batch.map((file) => documentIdOf(project, file.source)),
    );
    const taken = await mapConcurrently(batch, (file, index) => takeFile(file, entries[index], deps, request, signal));
    const toPlan = taken.flatMap((each) => ("failure" in each ? [] : [each]));
    const plans = await deps.ledger.planAll(project, toPlan);
    const jobs = plans.flatMap(({ documentId, outcome, generation }) =>
      outcome === "added" || outcome === "updated" ? [{ version: 1 as const, project, documentId, generation }] : [],
    );
    await deps.producer.addDocuments(project, jobs, request.urgency);
    const bySource = new Map(toPlan.map(({ source }, index) => [source, plans[index] as PlanResult]));
    yield taken.map((each, index) =>
      "failure" in each ? each : plannedDocument(each, bySource.get(each.source) as PlanResult, entries[index]),
    );
  }
}

function plannedDocument({ source, bytes, contentHash }: TakenFile, plan: PlanResult, entry: DocumentEntry | undefined): PlannedDocument {
  const { documentId, outcome } = plan;
  const planned = { source, documentId, bytes, contentHash, outcome };
  if (outcome !== "failed") return { ...planned, empty: entry?.state === "empty" };
  const { code, message } = entry?.failure ?? { code: "document.failed", message: "These bytes failed before" };
  return { ...planned, failure: { code, message } };
}

/** Neither the disk nor Redis should fill up because files are found faster than they are processed. */
async function waitForRoom({ ledger }: ProduceDeps, { queueBytesMax, onWaiting }: ProduceRequest, signal: AbortSignal): Promise<void> {
  let waiting = false;
  for (;;) {
    const queued = queuedBytes(await ledger.load());
    if (queued < queueBytesMax) break;
    waiting = true;
    onWaiting(queued);
    await delay(roomPollMs, undefined, { signal });
  }
  if (waiting) onWaiting(0);
}

/** Tells the ledger about a file that cannot become a document at all, unless the document is another file's. */
export async function reject(file: FailedFile, { ledger }: ProduceDeps, { project, ingestId }: ProduceRequest): Promise<PlannedDocument> {
  const { source, origin, bytes, code, message } = file;
  const documentId = documentIdOf(project, source);
  const entry = file.recorded ? await ledger.get(project, documentId) : undefined;
  if (file.recorded && !(entry !== undefined && (await belongsToAnother(entry, origin)))) {
    const failure = { code, message, stage: "intake", retryable: code === "file.unreadable" };
    await ledger.reject({ project, source, bytes, origin, ingestId, failure });
  }
  return { source, documentId, bytes, contentHash: "", outcome: "failed", failure: { code, message } };
}

/** A file whose bytes are stored. */
type TakenFile = Omit<PlanRequest, "project">;

/** Stores the bytes of a file. @returns what is to be planned, or the failure that leaves nothing to plan */
async function takeFile(
  file: FoundFile,
  entry: DocumentEntry | undefined,
  deps: ProduceDeps,
  request: ProduceRequest,
  signal: AbortSignal,
): Promise<TakenFile | (PlannedDocument & Required<Pick<PlannedDocument, "failure">>)> {
  const { project, ingestId, metadata, force, takeOver, documentBytesMax } = request;
  const fingerprint = fingerprintWith(request.fingerprint, metadata);
  const { source, origin } = file;
  const failed = (code: string, message: string) => {
    const documentId = documentIdOf(project, source);
    return { source, documentId, bytes: file.bytes, contentHash: "", outcome: "failed" as const, failure: { code, message } };
  };
  let stored: { contentHash: string; bytes: number };
  try {
    stored = await storeFile(origin, deps.blobs, documentBytesMax, signal);
  } catch (error) {
    if (!isDocumentFailure(error)) throw error;
    await reject({ ...file, code: error.code, message: error.message, recorded: true }, deps, request);
    return failed(error.code, error.message);
  }
  const { contentHash, bytes } = stored;
  if (!takeOver && entry !== undefined && entry.contentHash !== contentHash && (await belongsToAnother(entry, origin))) {
    return failed(
      "source.conflict",
      `"${source}" is already ${entry.origin}; use --root so that their names differ, or --take-over to replace that document`,
    );
  }
  const mediaType = mediaTypeOf(source);
  if (mediaType === undefined) return failed("file.unsupported_type", "No parser for this type of file");
  return { source, contentHash, fingerprint, mediaType, bytes, origin, ingestId, metadata, force };
}

/** Whether the document was read from another file, which still exists. A file that was moved or reached by another path is the same one. */
async function belongsToAnother(entry: DocumentEntry, origin: string): Promise<boolean> {
  if (entry.state === "deleted" || entry.origin === "" || entry.origin === origin) return false;
  try {
    const [other, own] = await Promise.all([stat(entry.origin), stat(origin)]);
    return other.isFile() && (other.ino !== own.ino || other.dev !== own.dev);
  } catch {
    return false; // gone, or on another machine
  }
}

function isDocumentFailure(error: unknown): error is MillraceError {
  return isMillraceError(error) && error.code.startsWith("file.");
}

function* batchesOf(files: readonly FoundFile[]): Generator<FoundFile[]> {
  let batch: FoundFile[] = [];
  let bytes = 0;
  let documentsMax = batchDocumentsMin;
  for (const file of files) {
    if (batch.length > 0 && (batch.length === documentsMax || bytes + file.bytes > batchBytesMax)) {
      yield batch;
      documentsMax = Math.min(documentsMax * 4, batchDocumentsMax);
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.bytes;
  }
  if (batch.length > 0) yield batch;
}

async function mapConcurrently<T, R>(items: readonly T[], map: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      try {
        results[index] = await map(items[index] as T, index);
      } catch (error) {
        next = items.length; // nothing new is begun once one has failed
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: filesInHand }, lane));
  return results;
}
