import { DependencyError, errorMessage } from "@millrace/core";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { ApiError, apiErrorOf } from "./api-error.ts";

export interface ClientOptions {
  /** Where the service listens: `http://127.0.0.1:7171`. */
  readonly url: string;
  readonly apiKey: string;
  /** Needed with an admin key; a project's own key names its project. */
  readonly project?: string;
  /** How long one attempt may take until its reply is there. Default 35 s: the service itself gives up before. */
  readonly timeoutMs?: number;
  /** Attempts after the first, of requests that may be repeated. Default 2. */
  readonly retriesMax?: number;
  /** Default the global one. */
  readonly fetch?: typeof fetch;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/**
 * When a request is sent again. `always`: it changes nothing, or a second one is recognised as the first. `refused`: only where the service has said that it did
 * not take it. `never`: the outcome of the first would be unknown.
 */
type Repeat = "always" | "refused" | "never";

export interface Call extends CallOptions {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly json?: unknown;
  readonly form?: FormData;
  readonly headers?: Readonly<Record<string, string>>;
  readonly repeat: Repeat;
}

export interface ServerEvent {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: unknown;
}

const timeoutMsDefault = 35_000;
const retriesMaxDefault = 2;
const backoffMs = 200;
/** Who asks to come back later than this is told to the caller. */
const retryAfterMsMax = 5_000;
/** The service's streams tell at least every 15 s that they are alive. */
const streamSilenceMsMax = 60_000;

/** Requests to the service: authorised, limited in time, repeated where that is safe, refusals as typed errors. */
export class Transport {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /**
   * @throws ApiError where the service refused or failed; DependencyError `query.unavailable`, `query.timeout` where it did not answer; the signal's reason
   */
  async json<T>(call: Call): Promise<T> {
    return (await (await this.send(call)).json()) as T;
  }

  /** A reply whose status is below 300. @throws as `json` */
  async send(call: Call): Promise<Response> {
    const retriesMax = call.repeat === "never" ? 0 : (this.#options.retriesMax ?? retriesMaxDefault);
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#attempt(call);
      } catch (error) {
        const pauseMs = attempt < retriesMax ? pauseBefore(error, call.repeat, attempt) : undefined;
        if (pauseMs === undefined) throw error;
        await pause(pauseMs, call.signal);
      }
    }
  }

  /**
   * The events of a stream, to its end; they may break off.
   * @throws as `json`, and DependencyError `query.cut` where nothing is heard any more
   */
  async *events(call: Call): AsyncGenerator<ServerEvent> {
    const silence = new AbortController();
    const response = await this.send({ ...call, signal: anyOf(call.signal, silence.signal) });
    let timer: NodeJS.Timeout | undefined;
    const listen = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(cut(`Nothing was heard for ${streamSilenceMsMax / 1_000} s`)), streamSilenceMsMax);
    };
    const heard = new TransformStream<Uint8Array, Uint8Array>({
      transform(part, controller) {
        listen();
        controller.enqueue(part);
      },
    });
    listen();
    try {
      const parts = (response.body ?? new ReadableStream<Uint8Array>()).pipeThrough(heard).pipeThrough(new TextDecoderStream());
      for await (const { id, event = "message", data } of parts.pipeThrough(new EventSourceParserStream())) {
        yield { id, event, data: JSON.parse(data) as unknown };
      }
    } catch (error) {
      call.signal?.throwIfAborted();
      if (error instanceof DependencyError) throw error;
      throw cut("The connection broke off", error);
    } finally {
      clearTimeout(timer);
    }
  }

  async #attempt(call: Call): Promise<Response> {
    const { apiKey, project, url } = this.#options;
    const timeoutMs = call.timeoutMs ?? this.#options.timeoutMs ?? timeoutMsDefault;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeoutMs);
    try {
      const response = await (this.#options.fetch ?? fetch)(addressOf(url, call), {
        method: call.method,
        headers: {
          authorization: `Bearer ${apiKey}`,
          ...(project === undefined ? {} : { "x-millrace-project": project }),
          ...(call.json === undefined ? {} : { "content-type": "application/json" }),
          ...call.headers,
        },
        ...(call.form === undefined ? {} : { body: call.form }),
        ...(call.json === undefined ? {} : { body: JSON.stringify(call.json) }),
        signal: anyOf(call.signal, late.signal),
        // The key is for this service.
        redirect: "error",
      });
      if (response.ok) return response;
      throw await apiErrorOf(response);
    } catch (error) {
      call.signal?.throwIfAborted();
      if (error instanceof ApiError) throw error;
      if (late.signal.aborted)
        throw new DependencyError("query.timeout", `The query service at ${url} has not answered within ${timeoutMs} ms`);
      throw new DependencyError("query.unavailable", `No query service answers at ${url}: ${causeOf(error)}`, {
        cause: error,
        hint: "`millrace status` tells where it listens, `millrace up --detach` starts it; MILLRACE_HOST and MILLRACE_PORT say where it should.",
      });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** How long to wait before the next attempt; undefined: there is none. */
function pauseBefore(error: unknown, repeat: Repeat, attempt: number): number | undefined {
  const backoff = backoffMs * 2 ** attempt * (0.5 + Math.random());
  if (error instanceof ApiError) {
    if (![429, 502, 503, 504].includes(error.status)) return undefined;
    if (repeat === "refused" && error.retryAfterMs === undefined) return undefined;
    const pauseMs = error.retryAfterMs ?? backoff;
    return pauseMs > retryAfterMsMax ? undefined : pauseMs;
  }
  const isUnavailable = error instanceof DependencyError && error.code === "query.unavailable";
  return isUnavailable && repeat === "always" ? backoff : undefined;
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const left = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", left);
      resolve();
    }, ms);
    signal?.addEventListener("abort", left, { once: true });
  });
}

function addressOf(url: string, { path, query = {} }: Call): URL {
  const address = new URL(path, url);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) address.searchParams.set(name, String(value));
  return address;
}

function anyOf(signal: AbortSignal | undefined, own: AbortSignal): AbortSignal {
  return signal === undefined ? own : AbortSignal.any([signal, own]);
}

export function cut(why: string, cause?: unknown): DependencyError {
  return new DependencyError("query.cut", `${why} before the answer was complete`, {
    ...(cause === undefined ? {} : { cause }),
    hint: "Ask again; the log of the query service says why.",
  });
}

/** fetch hides the reason ("connect ECONNREFUSED …") in a cause, and that of several addresses in another. */
function causeOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  if (inner instanceof AggregateError && inner.errors.length > 0) inner = inner.errors[0];
  return errorMessage(inner);
}
