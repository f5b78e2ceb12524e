import { randomUUID } from "node:crypto";
import {
  chunkIdOf,
  fingerprintWith,
  InvalidInputError,
  limits,
  type ProjectName,
  queuedBytes,
  type StoredChunk,
  type VectorStore,
} from "@millrace/core";
import { type DocumentEntry, type DocumentState, documentJson, documentStates, type Ledger } from "@millrace/ledger";
import type { Producer } from "@millrace/queue";
import type { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { type Env, requireScope } from "./authenticate.ts";
import type { IdempotencyKeys } from "./idempotency.ts";
import { Refusal } from "./problem.ts";
import { readUpload, type UploadDeps } from "./upload.ts";

export interface DocumentDeps extends UploadDeps {
  readonly ledger: Ledger;
  readonly store: VectorStore;
  readonly producer: Producer;
  readonly idempotency: IdempotencyKeys;
  /** Of the pipeline that the workers run. */
  readonly fingerprint: string;
  /** @throws ConfigError `embed.space_mismatch` where the project's vectors are of another model than the workers' */
  readonly claimSpace: (project: ProjectName) => Promise<void>;
  readonly queueBytesMax: number;
}

const uploadTimeoutMs = 600_000;
const retryAfterSeconds = 5;
const eventPollMs = 200;
const heartbeatMs = 15_000;
const streamsMax = 200;

/** The routes that put documents in, show and delete them, on an app that has authenticated the request. */
export function addDocumentRoutes(app: Hono<Env>, deps: DocumentDeps): void {
  const { ledger, producer } = deps;

  app.post("/v1/documents", async (context) => {
    requireScope(context.get("principal"), "ingest");
    const project = context.get("project");
    if (queuedBytes(await ledger.load()) >= deps.queueBytesMax) {
      throw new Refusal(429, "queue.full", "As much is queued as may be (MILLRACE_QUEUE_BYTES_MAX)", "Come back later.", retryAfterSeconds);
    }
    await deps.claimSpace(project);
    const signal = AbortSignal.any([context.req.raw.signal, AbortSignal.timeout(uploadTimeoutMs)]);
    const upload = await readUpload(context.req.raw, deps, signal);
    const { source, contentHash, metadata, ingestId = randomUUID() } = upload;
    const about = JSON.stringify([source, contentHash, metadata]);
    const reply = await deps.idempotency.once(project, context.req.header("idempotency-key"), about, async () => {
      const fingerprint = fingerprintWith(deps.fingerprint, metadata);
      const { outcome, documentId, generation } = await ledger.plan({ ...upload, project, fingerprint, ingestId, origin: "http" });
      const queued = outcome === "added" || outcome === "updated";
      if (queued) await producer.addDocuments(project, [{ version: 1, project, documentId, generation }], "interactive");
      const entry = await ledger.get(project, documentId);
      const urls = { status_url: `/v1/documents/${documentId}`, events_url: `/v1/ingests/${ingestId}/events` };
      const body = { ...(entry === undefined ? {} : documentJson(entry, { withOrigin: false })), outcome, ingest_id: ingestId, ...urls };
      return { status: queued ? 202 : 200, body: JSON.stringify(body) };
    });
    return new Response(reply.body, { status: reply.status, headers: { "content-type": "application/json", "cache-control": "no-store" } });
  });

  app.get("/v1/documents", async (context) => {
    requireScope(context.get("principal"), "read");
    const { state, prefix, cursor, limit } = context.req.query();
    const { entries, next } = await ledger.list({
      project: context.get("project"),
      limit: pageSize(limit),
      ...(state === undefined ? {} : { state: stateOf(state) }),
      ...(prefix === undefined ? {} : { sourcePrefix: prefix.normalize("NFC") }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    return context.json({
      object: "list",
      data: entries.map((entry) => documentJson(entry, { withOrigin: false })),
      next_cursor: next ?? null,
    });
  });

  app.get("/v1/documents/:id", async (context) => {
    requireScope(context.get("principal"), "read");
    return context.json(documentJson(await findDocument(ledger, context.get("project"), context.req.param("id")), { withOrigin: false }));
  });

  app.delete("/v1/documents/:id", async (context) => {
    requireScope(context.get("principal"), "ingest");
    const project = context.get("project");
    const { documentId, source } = await findDocument(ledger, project, context.req.param("id"));
    await ledger.remove(project, documentId);
    // Nothing returns it any more; the job only gives its rows back, and the sweep asks for it too.
    await producer.addCollection(project).catch(() => undefined);
    return context.json({ object: "document.deleted", document_id: documentId, source, deleted: true });
  });

  app.get("/v1/documents/:id/chunks", async (context) => {
    requireScope(context.get("principal"), "read");
    const project = context.get("project");
    const entry = await findDocument(ledger, project, context.req.param("id"));
    const { limit, offset } = context.req.query();
    const from = wholeNumber("offset", offset ?? "0", 0, Number.MAX_SAFE_INTEGER);
    const { chunks, nextOffset } = await readChunks(deps.store, project, entry, from, pageSize(limit), context.req.raw.signal);
    return context.json({ object: "list", data: chunks.map(chunkJson), total: entry.liveChunks, next_offset: nextOffset });
  });

  let streams = 0;
  app.get("/v1/ingests/:id/events", async (context) => {
    requireScope(context.get("principal"), "read");
    const project = context.get("project");
    const ingestId = context.req.param("id");
    const lastEventId = context.req.header("last-event-id") ?? "0";
    if (!/^\d{1,20}(?:-\d{1,20})?$/.test(lastEventId))
      throw new InvalidInputError("events.invalid_id", "Last-Event-ID is not one of this stream");
    const isKnown = (await ledger.openCount(project, ingestId)) > 0 || (await ledger.readEvents(project, ingestId, "0")).length > 0;
    if (!isKnown) throw new Refusal(404, "ingest.unknown", "There is no such ingest, or it ended more than a day ago");
    if (streams >= streamsMax)
      throw new Refusal(503, "events.too_many", `${streamsMax} event streams are open`, "Come back later.", retryAfterSeconds);
    context.header("x-accel-buffering", "no");
    streams++;
    return streamSSE(context, async (stream) => {
      try {
        let last = lastEventId;
        let sentAt = performance.now();
        while (!stream.aborted) {
          // Asked first: what is open now cannot have settled before the events that are read next.
          const open = await ledger.openCount(project, ingestId);
          const events = await ledger.readEvents(project, ingestId, last);
          for (const { eventId, documentId, source, state, chunks, done, tokens, code, message } of events) {
            const error = code === "" ? {} : { error: { code, message } };
            await stream.writeSSE({
              id: eventId,
              event: "document",
              data: JSON.stringify({ document_id: documentId, source, state, chunks, done, tokens, ...error }),
            });
            last = eventId;
          }
          if (open <= 0 && events.length === 0) {
            await stream.writeSSE({ event: "done", data: JSON.stringify({ ingest_id: ingestId }) });
            return;
          }
          if (events.length > 0) sentAt = performance.now();
          else if (performance.now() - sentAt > heartbeatMs) {
            await stream.write(": still there\n\n");
            sentAt = performance.now();
          }
          await stream.sleep(eventPollMs);
        }
      } finally {
        streams--;
      }
    });
  });
}

/** Chunks of a document's live version, in order. @throws DependencyError where the store is away */
export async function readChunks(
  store: Pick<VectorStore, "read">,
  project: ProjectName,
  { documentId, liveGeneration, liveChunks }: DocumentEntry,
  offset: number,
  limit: number,
  signal: AbortSignal,
): Promise<{ readonly chunks: StoredChunk[]; readonly nextOffset: number | null }> {
  const ordinals = Array.from({ length: Math.max(0, Math.min(limit, liveChunks - offset)) }, (_, index) => offset + index);
  const chunkIds = ordinals.map((ordinal) => chunkIdOf(project, documentId, liveGeneration ?? "", ordinal));
  const chunks = await store.read(project, chunkIds, AbortSignal.any([signal, AbortSignal.timeout(limits.requestTimeoutMs)]));
  const end = offset + ordinals.length;
  return { chunks: chunks.sort((a, b) => a.ordinal - b.ordinal), nextOffset: end < liveChunks ? end : null };
}

/** Another project's document is as unknown as one that never was. @throws Refusal 404 `document.unknown` */
export async function findDocument(ledger: Ledger, project: ProjectName, documentId: string): Promise<DocumentEntry> {
  const entry = /^[0-9a-f]{32}$/.test(documentId) ? await ledger.get(project, documentId) : undefined;
  if (entry === undefined || entry.state === "deleted") throw new Refusal(404, "document.unknown", "There is no such document");
  return entry;
}

function stateOf(text: string): DocumentState {
  const state = documentStates.find((each) => each === text);
  if (state === undefined)
    throw new InvalidInputError("documents.invalid_state", `There is no state "${text.slice(0, 40)}"`, {
      hint: `States are ${documentStates.join(", ")}.`,
    });
  return state;
}

function pageSize(text: string | undefined): number {
  return text === undefined ? limits.pageSizeDefault : wholeNumber("limit", text, 1, limits.pageSizeMax);
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || value < min || value > max) {
    throw new InvalidInputError("request.invalid_parameter", `${name} is not a whole number from ${min} to ${max}`);
  }
  return value;
}

function chunkJson({ chunkId, ordinal, text, span, page, headings, tokens }: StoredChunk): Readonly<Record<string, unknown>> {
  return { object: "chunk", chunk_id: chunkId, ordinal, text, span, page: page ?? null, headings, tokens };
}
