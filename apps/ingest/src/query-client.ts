import { DependencyError, errorMessage, InvalidInputError, MillraceError } from "@millrace/core";

/** One hit as the query service tells it. */
export interface SearchHit {
  readonly document_id: string;
  readonly source: string;
  readonly chunk_id: string;
  readonly page?: number | null;
  readonly headings: readonly string[];
  readonly text: string;
  readonly score: number;
}

export interface SearchReply {
  readonly data: readonly SearchHit[];
  readonly cache: "hit" | "stale" | "miss";
  readonly took_ms: number;
}

/** Where the service is, and as whom it is asked. */
interface QueryService {
  readonly url: string;
  readonly apiKey: string;
  readonly project: string;
}

export interface SearchCall extends QueryService {
  readonly body: Readonly<Record<string, unknown>>;
}

/** A passage that an answer cites. */
export interface Citation {
  readonly n: number;
  readonly source: string;
  readonly page: number | null;
  readonly quote: string;
}

export interface AnswerReply {
  readonly answer: string;
  readonly citations: readonly Citation[];
  readonly mode: "generated" | "extractive";
  readonly reason: string | null;
  readonly truncated: boolean;
  readonly model: string | null;
  readonly standalone_question: string | null;
  readonly took_ms: number;
  readonly timings_ms?: Readonly<Record<string, number>>;
}

export type AskEvent =
  | { readonly event: "sources"; readonly data: readonly unknown[] }
  | { readonly event: "delta"; readonly data: { readonly text: string } }
  | { readonly event: "citation"; readonly data: Citation }
  | { readonly event: "done"; readonly data: AnswerReply }
  | {
      readonly event: "error";
      readonly data: { readonly status: number; readonly code: string; readonly detail: string; readonly hint?: string };
    };

export interface AskCall extends QueryService {
  readonly body: {
    readonly question: string;
    readonly top_k?: number;
    readonly filter?: unknown;
    readonly session_id?: string;
    readonly trace?: boolean;
  };
}

/** What was used in a span of time. Costs are null where no prices are configured. */
interface Usage {
  readonly questions: number;
  readonly cached: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly saved_prompt_tokens: number;
  readonly saved_completion_tokens: number;
  readonly cost: number | null;
  readonly saved_cost: number | null;
  readonly searches: number;
  readonly searches_cached: number;
}

export interface UsageReply {
  readonly data: readonly (Usage & { readonly project: string; readonly day: string })[];
  readonly total: Usage;
}

export interface UsageCall extends Omit<QueryService, "project"> {
  /** Undefined: all. */
  readonly project?: string;
  /** `2026-11-25` */
  readonly from: string;
}

const timeoutMs = 35_000;
/** An answer may take its time, but never is nothing heard of it for so long. */
const askTimeoutMs = 180_000;

/**
 * @throws InvalidInputError with the service's code where it refused the request; DependencyError `query.unavailable` where it does not answer;
 *   MillraceError with its code for everything else
 */
export async function search({ body, ...service }: SearchCall): Promise<SearchReply> {
  // Our own service answers; its contract is tested there.
  return (await (await send(service, "/v1/search", timeoutMs, body)).json()) as SearchReply;
}

/** @throws as `search` does */
export async function usage({ from, ...service }: UsageCall): Promise<UsageReply> {
  return (await (await send(service, `/v1/usage?from=${from}`, timeoutMs)).json()) as UsageReply;
}

/**
 * The events of an answer as they come; the last is `done`.
 * @throws as `search` does, and for an `error` event
 */
export async function* ask({ body, ...service }: AskCall): AsyncGenerator<AskEvent> {
  const response = await send(service, "/v1/ask", askTimeoutMs, { ...body, stream: true });
  let text = "";
  let done = false;
  for await (const part of (response.body ?? new ReadableStream<Uint8Array>()).pipeThrough(new TextDecoderStream())) {
    text += part;
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data === undefined) continue; // a heartbeat
      const event = { event: /^event: (.*)$/m.exec(block)?.[1], data: JSON.parse(data) as unknown } as AskEvent;
      if (event.event === "error") throw refusal(event.data.status, event.data);
      done ||= event.event === "done";
      yield event;
    }
  }
  if (!done) throw new DependencyError("query.cut", "The answer broke off", { hint: "Ask again; the log of the query service says why." });
}

type Service = Omit<QueryService, "project"> & Partial<QueryService>;

/** POST with a body, GET without one. */
async function send({ url, apiKey, project }: Service, path: string, limitMs: number, body?: unknown): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(new URL(path, url), {
      headers: { authorization: `Bearer ${apiKey}`, ...(project === undefined ? {} : { "x-millrace-project": project }) },
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(limitMs),
    });
  } catch (error) {
    throw new DependencyError("query.unavailable", `No query service answers at ${url}: ${causeOf(error)}`, {
      cause: error,
      hint: "Start it with `millrace up --detach`, or set MILLRACE_HOST and MILLRACE_PORT to where it listens.",
    });
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

/** Whether the service and everything it depends on answer. */
export async function isQueryServiceReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(new URL("/readyz", url), { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

async function problemOf(response: Response): Promise<MillraceError> {
  const text = await response.text();
  try {
    return refusal(response.status, JSON.parse(text) as Problem);
  } catch {
    return refusal(response.status, { detail: text.slice(0, 500) }); // not from our service: a proxy, perhaps
  }
}

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly title?: string;
  readonly hint?: string;
}

function refusal(status: number, problem: Problem): MillraceError {
  const code = problem.code ?? `http.${status}`;
  const message = problem.detail ?? problem.title ?? `The query service answered ${status}`;
  const options = problem.hint === undefined ? {} : { hint: problem.hint };
  if (status === 401 || status === 403) return new MillraceError(code, message, false, options);
  return status < 500 ? new InvalidInputError(code, message, options) : new DependencyError(code, message, options);
}

/** fetch hides the reason ("connect ECONNREFUSED …") in a cause, and that of several addresses in another. */
function causeOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  if (inner instanceof AggregateError && inner.errors.length > 0) inner = inner.errors[0];
  return errorMessage(inner);
}
