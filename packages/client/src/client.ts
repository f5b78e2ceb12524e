import { ApiError, type Problem } from "./api-error.ts";
import type { Answer, AskEvent, AskRequest } from "./ask.ts";
import type { ChunkPage, DeletedDocument, Document, DocumentPage, DocumentQuery, IngestEvent, Upload, UploadReply } from "./documents.ts";
import type { EmbeddingList, EmbeddingRequest } from "./embeddings.ts";
import type { SearchRequest, SearchResults } from "./search.ts";
import type { DeletedSession, Session, SessionList } from "./sessions.ts";
import { type CallOptions, type ClientOptions, cut, Transport } from "./transport.ts";
import type { Usage, UsageQuery } from "./usage.ts";

/** An answer may take its time. */
const askTimeoutMs = 180_000;
const uploadTimeoutMs = 600_000;

/**
 * The query service, one method for each of its routes. Replies are what the service sends, with its names; `/openapi.json` describes them.
 *
 * Every method throws ApiError where the service refused or failed, and DependencyError where it did not answer (`query.unavailable`, `query.timeout`) or
 * broke off (`query.cut`). What changes nothing is repeated after a failure that may pass; an upload too, as the service knows it again by its key.
 */
export class MillraceClient {
  readonly #transport: Transport;

  constructor(options: ClientOptions) {
    this.#transport = new Transport(options);
  }

  search(request: SearchRequest, options: CallOptions = {}): Promise<SearchResults> {
    return this.#transport.json({ method: "POST", path: "/v1/search", json: request, repeat: "always", ...options });
  }

  /** The whole answer at once. */
  ask(request: AskRequest, options: CallOptions = {}): Promise<Answer> {
    const json = { ...request, stream: false };
    // Not repeated where it may be under way: a model's answer costs.
    return this.#transport.json({ method: "POST", path: "/v1/ask", json, repeat: "refused", timeoutMs: askTimeoutMs, ...options });
  }

  /** The answer as it is made; the last event is `done`. */
  async *askStream(request: AskRequest, options: CallOptions = {}): AsyncGenerator<AskEvent> {
    const json = { ...request, stream: true };
    const events = this.#transport.events({
      method: "POST",
      path: "/v1/ask",
      json,
      repeat: "refused",
      timeoutMs: askTimeoutMs,
      ...options,
    });
    let done = false;
    for await (const { event, data } of events) {
      if (event === "error") throw new ApiError((data as Problem).status ?? 500, data as Problem);
      done ||= event === "done";
      yield { event, data } as AskEvent;
    }
    if (!done) throw cut("The answer broke off");
  }

  /** The conversations of this key, those last used first. */
  sessions(options: CallOptions = {}): Promise<SessionList> {
    return this.#transport.json({ method: "GET", path: "/v1/sessions", repeat: "always", ...options });
  }

  session(sessionId: string, options: CallOptions = {}): Promise<Session> {
    return this.#transport.json({ method: "GET", path: pathOf("/v1/sessions", sessionId), repeat: "always", ...options });
  }

  deleteSession(sessionId: string, options: CallOptions = {}): Promise<DeletedSession> {
    return this.#transport.json({ method: "DELETE", path: pathOf("/v1/sessions", sessionId), repeat: "never", ...options });
  }

  embed(request: EmbeddingRequest, options: CallOptions = {}): Promise<EmbeddingList> {
    return this.#transport.json({ method: "POST", path: "/v1/embeddings", json: request, repeat: "always", ...options });
  }

  /** Queues a document; `ingestEvents` tells what becomes of it. */
  upload(
    upload: Upload,
    { idempotencyKey = crypto.randomUUID(), ...options }: CallOptions & { readonly idempotencyKey?: string } = {},
  ): Promise<UploadReply> {
    const body = "file" in upload ? { form: formOf(upload) } : { json: upload };
    const headers = { "idempotency-key": idempotencyKey };
    const call = { method: "POST", path: "/v1/documents", headers, repeat: "always", timeoutMs: uploadTimeoutMs } as const;
    return this.#transport.json({ ...call, ...body, ...options });
  }

  listDocuments(query: DocumentQuery = {}, options: CallOptions = {}): Promise<DocumentPage> {
    return this.#transport.json({ method: "GET", path: "/v1/documents", query: { ...query }, repeat: "always", ...options });
  }

  /** Every document that matches, page by page. */
  async *documents(query: Omit<DocumentQuery, "cursor"> = {}, options: CallOptions = {}): AsyncGenerator<Document> {
    let cursor: string | null | undefined;
    do {
      const page = await this.listDocuments({ ...query, ...(cursor ? { cursor } : {}) }, options);
      yield* page.data;
      cursor = page.next_cursor;
    } while (cursor !== null);
  }

  document(documentId: string, options: CallOptions = {}): Promise<Document> {
    return this.#transport.json({ method: "GET", path: pathOf("/v1/documents", documentId), repeat: "always", ...options });
  }

  /** Not repeated: a second one would find nothing, and say so. */
  deleteDocument(documentId: string, options: CallOptions = {}): Promise<DeletedDocument> {
    return this.#transport.json({ method: "DELETE", path: pathOf("/v1/documents", documentId), repeat: "never", ...options });
  }

  chunks(
    documentId: string,
    query: { readonly limit?: number; readonly offset?: number } = {},
    options: CallOptions = {},
  ): Promise<ChunkPage> {
    const path = `${pathOf("/v1/documents", documentId)}/chunks`;
    return this.#transport.json({ method: "GET", path, query, repeat: "always", ...options });
  }

  /** What happens to the documents of an ingest, until none is pending. A stream that breaks off is taken up where it was. */
  async *ingestEvents(ingestId: string, options: CallOptions = {}): AsyncGenerator<IngestEvent> {
    let last: string | undefined;
    for (let heard = true; heard; ) {
      heard = false;
      const headers: Record<string, string> = last === undefined ? {} : { "last-event-id": last };
      const path = `${pathOf("/v1/ingests", ingestId)}/events`;
      try {
        for await (const { id, event, data } of this.#transport.events({ method: "GET", path, headers, repeat: "always", ...options })) {
          if (event === "done") return;
          heard = true;
          last = id ?? last;
          yield data as IngestEvent;
        }
      } catch (error) {
        if (!heard || error instanceof ApiError) throw error;
      }
    }
    throw cut("The stream broke off");
  }

  /** What was asked and searched, and the tokens and costs of it, by project and day; of all projects with an admin key that names none. */
  usage(query: UsageQuery = {}, options: CallOptions = {}): Promise<Usage> {
    return this.#transport.json({ method: "GET", path: "/v1/usage", query: { ...query }, repeat: "always", ...options });
  }

  /** Prometheus metrics as text, for admin keys. */
  async metrics(options: CallOptions = {}): Promise<string> {
    return (await this.#transport.send({ method: "GET", path: "/metrics", repeat: "always", ...options })).text();
  }
}

function pathOf(collection: string, id: string): string {
  return `${collection}/${encodeURIComponent(id)}`;
}

function formOf({ file, name, metadata, ...fields }: Extract<Upload, { file: Blob }>): FormData {
  const form = new FormData();
  for (const [key, value] of Object.entries(fields)) if (value !== undefined) form.set(key, value);
  if (metadata !== undefined) form.set("metadata", JSON.stringify(metadata));
  form.set("file", file, name);
  return form;
}
