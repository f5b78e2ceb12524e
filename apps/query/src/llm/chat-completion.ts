import { type ChatMessage, DependencyError, estimateTokens, type Generation, limits, MillraceError } from "@millrace/core";
import OpenAI, { APIConnectionError, APIError } from "openai";
import { Agent, fetch as undiciFetch } from "undici";

export interface ChatServerOptions {
  /** Of an OpenAI-compatible server, with its version: `http://127.0.0.1:11434/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string | undefined;
  readonly connectTimeoutMs: number;
  /** Also the longest silence between two tokens. */
  readonly firstTokenTimeoutMs: number;
  readonly totalTimeoutMs: number;
}

export interface ChatCall {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly tokensMax: number;
  readonly onDelta: (text: string) => void;
}

/** A model refused for now and said when to come back. */
export class RetryLaterError extends DependencyError {
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number) {
    super("llm.rate_limited", message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** One OpenAI-compatible server, through the OpenAI client: one call is one attempt. */
export class ChatServer {
  readonly #options: ChatServerOptions;
  readonly #agent: Agent;
  readonly #client: OpenAI;
  /** Parameters that a model does not take, as its server said: newer ones of OpenAI want another limit, and no temperature. */
  readonly #refused = new Map<string, Set<string>>();

  constructor(options: ChatServerOptions) {
    const { baseUrl, apiKey, connectTimeoutMs, totalTimeoutMs } = options;
    this.#options = options;
    // The time limits of a body and its headers are ours, below; the connection's only undici can set.
    this.#agent = new Agent({ connect: { timeout: connectTimeoutMs }, headersTimeout: 0, bodyTimeout: 0 });
    this.#client = new OpenAI({
      baseURL: baseUrl,
      apiKey: apiKey ?? "none",
      maxRetries: 0,
      timeout: totalTimeoutMs,
      logLevel: "off",
      fetch: (url, init) => this.#fetch(url, init),
    });
  }

  /**
   * Streams one answer.
   * @throws DependencyError `llm.unavailable`, `llm.timeout`, `llm.rate_limited` (RetryLaterError), `llm.malformed`, `llm.cut`; MillraceError
   *   `llm.rejected`, which no repetition mends; the signal's reason
   */
  async complete({ model, messages, tokensMax, onDelta }: ChatCall, signal: AbortSignal): Promise<Generation> {
    const watch = new Watch(this.#options, signal);
    let chars = 0;
    let finish: Generation["finish"] | undefined;
    let reported: { readonly prompt_tokens: number; readonly completion_tokens: number } | undefined;
    try {
      const stream = await this.#begin({ model, messages, tokensMax }, watch.signal);
      for await (const chunk of stream) {
        reported = chunk.usage ?? reported;
        const choice = chunk.choices?.[0];
        if (choice === undefined) continue;
        watch.heard();
        const text = choice.delta?.content;
        if (typeof text === "string" && text !== "") {
          onDelta(text.slice(0, limits.answerCharsMax - chars));
          chars += text.length;
        }
        if (choice.finish_reason === "content_filter")
          throw new MillraceError("llm.rejected", "The model's filter ended its answer", false);
        if (typeof choice.finish_reason === "string") finish = choice.finish_reason === "length" ? "length" : "stop";
        if (chars >= limits.answerCharsMax) {
          finish = "length"; // leaving the loop closes the connection
          break;
        }
      }
    } catch (error) {
      throw watch.reason() ?? toMillraceError(error, chars > 0);
    } finally {
      watch.stop();
    }
    // The client ends such a stream without an error.
    if (finish === undefined) throw watch.reason() ?? new DependencyError("llm.cut", "The model's answer ended before it was complete");
    if (chars === 0) throw new DependencyError("llm.malformed", "The model answered without a word");
    const promptTokens = reported?.prompt_tokens ?? messages.reduce((sum, { content }) => sum + estimateTokens(content), 0);
    return { model, finish, usage: { promptTokens, completionTokens: reported?.completion_tokens ?? Math.ceil(chars / 4) } };
  }

  async #begin({ model, messages, tokensMax }: Omit<ChatCall, "onDelta">, signal: AbortSignal) {
    for (;;) {
      const refused = this.#refused.get(model) ?? new Set();
      const limit = refused.has("max_tokens") ? { max_completion_tokens: tokensMax } : { max_tokens: tokensMax };
      const wishes = { ...limit, ...(refused.has("temperature") ? {} : { temperature: 0 }) };
      const stream = { stream: true, stream_options: { include_usage: true } } as const;
      try {
        return await this.#client.chat.completions.create({ model, messages: [...messages], ...wishes, ...stream }, { signal });
      } catch (error) {
        const parameter = error instanceof APIError && error.status === 400 ? error.param : undefined;
        if ((parameter !== "max_tokens" && parameter !== "temperature") || refused.has(parameter)) throw error;
        this.#refused.set(model, refused.add(parameter));
      }
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** Redirects are not followed: the key is for this server. No answer of sense has so many bytes: what a broken server sends without end must not be collected. */
  async #fetch(url: string | URL | Request, init?: RequestInit): Promise<Response> {
    const response = (await undiciFetch(url as string, {
      ...(init as object),
      dispatcher: this.#agent,
      redirect: "error",
    })) as unknown as Response;
    if (response.body === null) return response;
    let bytes = 0;
    const counted = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(part, controller) {
          bytes += part.byteLength;
          if (bytes > limits.llmResponseBytesMax) controller.error(new DependencyError("llm.malformed", "The model's answer is too large"));
          else controller.enqueue(part);
        },
      }),
    );
    return new Response(counted, { status: response.status, headers: response.headers as unknown as Headers });
  }
}

/** Aborts a call that is silent or takes too long, and knows why it did. */
class Watch {
  readonly #abort = new AbortController();
  readonly #caller: AbortSignal;
  readonly #silenceMs: number;
  readonly #total: NodeJS.Timeout;
  #silence: NodeJS.Timeout;
  readonly signal: AbortSignal;

  constructor({ firstTokenTimeoutMs, totalTimeoutMs }: ChatServerOptions, caller: AbortSignal) {
    this.#caller = caller;
    this.#silenceMs = firstTokenTimeoutMs;
    this.#total = setTimeout(() => this.#give(`The model was not done after ${totalTimeoutMs} ms`), totalTimeoutMs);
    this.#silence = this.#listen();
    this.signal = AbortSignal.any([caller, this.#abort.signal]);
  }

  heard(): void {
    clearTimeout(this.#silence);
    this.#silence = this.#listen();
  }

  stop(): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#total);
  }

  /** Why the call ended, where it was aborted. */
  reason(): unknown {
    return this.signal.aborted ? (this.#caller.aborted ? this.#caller.reason : this.#abort.signal.reason) : undefined;
  }

  #listen(): NodeJS.Timeout {
    return setTimeout(() => this.#give(`The model said nothing for ${this.#silenceMs} ms`), this.#silenceMs);
  }

  #give(message: string): void {
    this.#abort.abort(new DependencyError("llm.timeout", message));
  }
}

const hint = "Are LLM_BASE_URL, LLM_MODEL and LLM_API_KEY right?";

/** @param begun whether the answer had begun */
function toMillraceError(error: unknown, begun: boolean): MillraceError {
  if (error instanceof MillraceError) return error;
  if (error instanceof APIError && error.status !== undefined) {
    const { status, headers } = error;
    if (status === 429) return new RetryLaterError("The model refuses for now: too many requests", retryAfterMs(headers));
    if (status >= 500 || status === 408 || status === 409)
      return status === 503 && headers?.get("retry-after")
        ? new RetryLaterError("The model is not available for now", retryAfterMs(headers))
        : new DependencyError("llm.unavailable", `The model's server answered ${status}`, { cause: error });
    return new MillraceError("llm.rejected", `The model's server refused the request with ${status}`, false, { cause: error, hint });
  }
  if (begun) return new DependencyError("llm.cut", "The model's answer broke off", { cause: error });
  if (error instanceof APIConnectionError)
    return new DependencyError("llm.unavailable", "The model's server cannot be reached", { cause: error, hint });
  return new DependencyError("llm.malformed", "The model's server answered with something else than a stream of tokens", { cause: error });
}

const retryAfterDefaultMs = 1_000;

/** Seconds or a date (RFC 9110, section 10.2.3). */
function retryAfterMs(headers: Headers | undefined): number {
  const value = headers?.get("retry-after") ?? "";
  const ms = /^\d+(?:\.\d+)?$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : retryAfterDefaultMs;
}
