import { setTimeout as delay } from "node:timers/promises";
import { ConfigError, DependencyError, errorMessage, InvalidInputError, type MillraceError } from "@millrace/core";
import type { OpenAiConfig } from "@millrace/runtime";
import { unitVector } from "./unit-vector.ts";

/** Tries of one request, with growing pauses between. */
const attemptsMax = 5;
const backoffMsMin = 250;
const backoffMsMax = 8_000;
/** A server that wants a longer pause is told to the caller, whose job waits better than this call. */
const retryAfterMsMax = 30_000;
const errorCharsMax = 300;

export interface EmbeddingsServer extends Pick<OpenAiConfig, "url" | "model" | "dimension" | "timeoutMs"> {
  readonly key: string | undefined;
}

/**
 * One `POST /embeddings`, repeated while the server is away or asks for patience.
 * @returns a unit-length vector per text
 * @throws ConfigError `embed.unauthorised`, `embed.model_unknown` | InvalidInputError `embed.refused` with the server's words
 * @throws DependencyError `embed.unavailable`, `embed.bad_output`, `embed.bad_vector`; the signal's reason when aborted
 */
export async function requestEmbeddings(server: EmbeddingsServer, texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await post(server, texts, signal);
    if (outcome.vectors !== undefined) return outcome.vectors;
    const backoffMs = Math.min(backoffMsMin * 2 ** (attempt - 1), backoffMsMax) * (0.5 + Math.random() / 2);
    const pauseMs = Math.max(backoffMs, outcome.retryAfterMs);
    if (!outcome.error.retryable || attempt === attemptsMax || outcome.retryAfterMs > retryAfterMsMax) throw outcome.error;
    await delay(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

type Outcome =
  | { readonly vectors: Float32Array[] }
  | { readonly vectors?: undefined; readonly error: MillraceError; readonly retryAfterMs: number };

async function post(server: EmbeddingsServer, texts: readonly string[], signal: AbortSignal): Promise<Outcome> {
  const { url, model, key, timeoutMs } = server;
  const address = `${url.replace(/\/+$/, "")}/embeddings`;
  try {
    const response = await fetch(address, {
      method: "POST",
      headers: { "content-type": "application/json", ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
      body: JSON.stringify({ model, input: texts, encoding_format: "base64" }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    const text = await response.text();
    if (response.ok) return { vectors: vectorsOf(text, texts.length, server) };
    return { error: errorOf(response.status, text, server), retryAfterMs: retryAfterMs(response.headers.get("retry-after")) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DependencyError) throw error;
    const cause = error instanceof Error && error.cause !== undefined ? errorMessage(error.cause) : errorMessage(error);
    return { error: new DependencyError("embed.unavailable", `${address} failed: ${cause}`, { cause: error }), retryAfterMs: 0 };
  }
}

function errorOf(status: number, body: string, { url, model }: EmbeddingsServer): MillraceError {
  const message = `The embedding server ${url} answered ${status}: ${body.slice(0, errorCharsMax)}`;
  if (status === 401 || status === 403) {
    return new ConfigError("embed.unauthorised", message, { hint: "Set MILLRACE_EMBEDDER_KEY to a key it accepts." });
  }
  if (status === 404) {
    return new ConfigError("embed.model_unknown", message, { hint: `Is there a model "${model}", and does the url end with /v1?` });
  }
  if (status === 408 || status === 425 || status === 429 || status >= 500) return new DependencyError("embed.unavailable", message);
  return new InvalidInputError("embed.refused", message, { hint: "Do tokensMax and batchTextsMax fit the server?" });
}

/** Seconds, or a date. */
function retryAfterMs(header: string | null): number {
  if (header === null) return 0;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
}

/** The reply is of somebody else's making: every vector is looked at, in the place its index says. */
function vectorsOf(text: string, count: number, { dimension, url }: EmbeddingsServer): Float32Array[] {
  const bad = (what: string): DependencyError => new DependencyError("embed.bad_output", `The embedding server ${url} gave ${what}`);
  let data: unknown;
  try {
    data = (JSON.parse(text) as { data?: unknown }).data;
  } catch {
    throw bad("something that is not JSON");
  }
  if (!Array.isArray(data) || data.length !== count) throw bad(`${Array.isArray(data) ? data.length : "no"} vectors for ${count} texts`);
  const vectors: Float32Array[] = new Array(count);
  for (const [position, item] of (data as readonly { index?: unknown; embedding?: unknown }[]).entries()) {
    const index = typeof item?.index === "number" ? item.index : position;
    const vector = floatsOf(item?.embedding);
    if (vector?.length !== dimension) throw bad(`a vector of ${vector?.length ?? "no"} numbers; ${dimension} are configured`);
    if (!Number.isInteger(index) || index < 0 || index >= count || vectors[index] !== undefined)
      throw bad(`the index ${index} twice or out of range`);
    vectors[index] = unitVector(vector);
  }
  return vectors;
}

/** 32-bit floats as base64, or plain numbers from servers that know nothing else. */
function floatsOf(value: unknown): Float32Array | undefined {
  if (typeof value === "string") {
    const bytes = Buffer.from(value, "base64");
    if (bytes.length % 4 !== 0) return undefined;
    return Float32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
  }
  return Array.isArray(value) ? Float32Array.from(value as number[]) : undefined;
}
