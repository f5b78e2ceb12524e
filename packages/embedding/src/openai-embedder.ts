import {
  type Chunk,
  type ChunkingOptions,
  type Embedder,
  type EmbeddingSpace,
  type EmbedPurpose,
  InvalidInputError,
  isMillraceError,
  type ParsedDocument,
} from "@millrace/core";
import type { OpenAiConfig } from "@millrace/runtime";
import { requestEmbeddings } from "./embeddings-request.ts";
import { openAiSpace } from "./space.ts";
import { TransformersProcess } from "./transformers-embedder.ts";

/** Vectors kept of calls that failed, so that their repetition goes on where they stopped: some megabytes. */
const keptVectorsMax = 2_048;

export interface OpenAiEmbedderOptions {
  readonly config: OpenAiConfig;
  readonly key: string | undefined;
}

/**
 * Embeds on a server that speaks OpenAI's protocol. A call becomes batches by tokens and count, some of them under way at once, each repeated on its
 * own; where one fails for good, the vectors of the others are kept for the call that comes again.
 */
export class OpenAiEmbedder implements Embedder {
  readonly space: EmbeddingSpace;
  readonly #options: OpenAiEmbedderOptions;
  readonly #tokens: TransformersProcess;
  readonly #kept = new Map<string, Float32Array>();
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;

  constructor(options: OpenAiEmbedderOptions) {
    const { config } = options;
    this.#options = options;
    this.space = openAiSpace(config);
    const { tokenizer, tokensMax, documentPrefix } = config;
    this.#tokens = new TransformersProcess({ tokenizer, model: undefined, tokensMax, documentPrefix, cacheFolder: "", threads: 1 });
  }

  /** Asks the server once, so that a wrong key or dimension is told at the start. */
  async start(signal: AbortSignal): Promise<void> {
    await this.embed(["ready"], signal);
  }

  close(): Promise<void> {
    return this.#tokens.close();
  }

  pids(): number[] {
    return this.#tokens.pids();
  }

  /** @throws InvalidInputError `embed.too_long`; what `requestEmbeddings` throws */
  async embed(texts: readonly string[], signal: AbortSignal, purpose: EmbedPurpose = "document"): Promise<Float32Array[]> {
    signal.throwIfAborted();
    const { queryPrefix, documentPrefix, tokensMax } = this.#options.config;
    const prefix = purpose === "query" ? queryPrefix : documentPrefix;
    const prefixed = texts.map((text) => prefix + text);
    const vectors = prefixed.map((text) => this.#kept.get(text));
    const open = [...prefixed.keys()].filter((index) => vectors[index] === undefined);
    const counts = await this.countTokens(
      open.map((index) => prefixed[index] ?? ""),
      signal,
    );
    const longest = Math.max(0, ...counts);
    if (longest > tokensMax) {
      const message = `A text has ${longest} tokens, more than the ${tokensMax} that the model reads`;
      throw new InvalidInputError("embed.too_long", message, { hint: "Shorten it." });
    }
    // After one that failed none is begun; those under way are waited for, since what they bring is kept.
    const failed = new AbortController();
    const outcomes = await Promise.allSettled(
      this.#batches(open, counts).map(async (batch) => {
        try {
          const embedded = await this.#embedBatch(
            batch.map((index) => prefixed[index] ?? ""),
            signal,
            failed.signal,
          );
          for (const [position, index] of batch.entries()) vectors[index] = embedded[position];
        } catch (error) {
          failed.abort(error);
          throw error;
        }
      }),
    );
    signal.throwIfAborted();
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    this.#keep(prefixed, failure === undefined ? [] : vectors);
    if (failure !== undefined) throw failed.signal.reason;
    return vectors as Float32Array[];
  }

  chunk(document: ParsedDocument, options: ChunkingOptions, signal: AbortSignal): Promise<Chunk[]> {
    return this.#tokens.request<Chunk[]>({ kind: "chunk", document, options }, signal);
  }

  /** Tokens of each text, special tokens included and prefixes not; estimated where there is no tokenizer. */
  async countTokens(texts: readonly string[], signal: AbortSignal): Promise<number[]> {
    return texts.length === 0 ? [] : this.#tokens.request<number[]>({ kind: "count", texts }, signal);
  }

  /** A server that finds a batch too large gets its halves. */
  async #embedBatch(texts: readonly string[], signal: AbortSignal, failed: AbortSignal): Promise<Float32Array[]> {
    const { config, key } = this.#options;
    try {
      return await this.#inTurn(() => requestEmbeddings({ ...config, key }, texts, signal), AbortSignal.any([signal, failed]));
    } catch (error) {
      if (texts.length === 1 || !isMillraceError(error) || error.code !== "embed.refused") throw error;
      const half = texts.length >> 1;
      const first = await this.#embedBatch(texts.slice(0, half), signal, failed);
      return [...first, ...(await this.#embedBatch(texts.slice(half), signal, failed))];
    }
  }

  async #inTurn<T>(action: () => Promise<T>, unwanted: AbortSignal): Promise<T> {
    if (this.#underWay >= this.#options.config.concurrency) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#underWay++;
    try {
      unwanted.throwIfAborted();
      return await action();
    } finally {
      // The place goes to the next in line, or is given up.
      const next = this.#waiting.shift();
      if (next === undefined) this.#underWay--;
      else next();
    }
  }

  /** Indices in groups within the limits of tokens and texts; `counts` are theirs, in order. */
  #batches(indices: readonly number[], counts: readonly number[]): number[][] {
    const { batchTextsMax, batchTokensMax } = this.#options.config;
    const batches: number[][] = [];
    let tokens = 0;
    for (const [position, index] of indices.entries()) {
      const count = counts[position] ?? 0;
      const batch = batches.at(-1);
      if (batch === undefined || batch.length === batchTextsMax || tokens + count > batchTokensMax) {
        batches.push([index]);
        tokens = count;
      } else {
        batch.push(index);
        tokens += count;
      }
    }
    return batches;
  }

  /** What a failed call got is remembered; what a complete one used is forgotten. */
  #keep(texts: readonly string[], vectors: readonly (Float32Array | undefined)[]): void {
    for (const [index, text] of texts.entries()) {
      const vector = vectors[index];
      if (vector === undefined) this.#kept.delete(text);
      else if (this.#kept.size < keptVectorsMax) this.#kept.set(text, vector);
    }
  }
}
