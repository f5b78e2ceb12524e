import { type Chunk, type ChunkingOptions, type Embedder, type EmbeddingSpace, embeddedText, type ParsedDocument } from "@millrace/core";
import { ChildPool } from "@millrace/runtime";
import { askChild } from "./ask-child.ts";
import type { ChunkReply, ComputeRequest } from "./compute-process.ts";
import { type ModelDtype, readModel } from "./model.ts";

export interface LocalEmbedderOptions {
  readonly modelPath: string;
  readonly dtype: ModelDtype;
  /** Compute processes, each with one thread and a model in memory. Default 1. */
  readonly processes?: number;
  /** How far the compute processes give way to others, 0 to 19. Default 0. */
  readonly niceness?: number;
}

/**
 * One request to a child: two tenths of a second of work, so that the texts of one call are shared out, others get their turn, a stop does not wait long, and at
 * the end of all work no child has much more left than the others.
 */
const charsPerRequestMax = 8_192;
const textsPerRequestMax = 64;
/** One is computed while the next is on its way. */
const inFlightPerChildMax = 2;
/** Chunks whose token ids are remembered until they are embedded: some 8 MB. One that is forgotten is tokenised again. */
const idsRememberedMax = 8_192;
/** A child that is silent for so long hangs. Includes loading the model at its first request. */
const requestTimeoutMs = 120_000;

/** Embeds in child processes with ONNX Runtime; the caller's event loop stays free. A child that dies is replaced, and what it had is asked once more. */
export class LocalEmbedder implements Embedder {
  readonly space: EmbeddingSpace;
  readonly #pool: ChildPool;
  readonly #processes: number;
  readonly #idsByText = new Map<string, Int32Array>();

  /** @throws ConfigError `model.missing`, `model.damaged` */
  constructor({ modelPath, dtype, processes = 1, niceness = 0 }: LocalEmbedderOptions) {
    this.space = readModel(modelPath, dtype).space;
    this.#processes = processes;
    this.#pool = new ChildPool({
      entry: new URL(import.meta.resolve("@millrace/embedding/compute-process")),
      size: processes,
      inFlightPerChildMax,
      niceness,
      // 15 MB less in each, and no time that can be measured.
      semiSpaceMegabytesMax: 1,
      args: [modelPath, dtype],
    });
  }

  /** Loads the model into every process now rather than at the first texts. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: this.#processes }, () => this.#request({ kind: "embed", texts: ["ready"] }, signal)));
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  /** Process ids of the compute processes, for memory accounting. */
  pids(): number[] {
    return this.#pool.pids();
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]> {
    const { dimension } = this.space;
    signal.throwIfAborted();
    const requests = slices(texts).map(async (slice) => {
      const flat = await this.#request<Float32Array>({ kind: "embed", texts: slice.map((text) => this.#takeIds(text) ?? text) }, signal);
      return slice.map((_, index) => flat.slice(index * dimension, (index + 1) * dimension));
    });
    return (await Promise.all(requests)).flat();
  }

  /** Cuts a document into chunks by the tokens of this model; here, because the tokenizer lives with the model. */
  async chunk(document: ParsedDocument, options: ChunkingOptions, signal: AbortSignal): Promise<readonly Chunk[]> {
    const { chunks, ids, lengths } = await this.#request<ChunkReply>({ kind: "chunk", document, options }, signal);
    let offset = 0;
    for (const [index, chunk] of chunks.entries()) {
      const end = offset + (lengths[index] ?? 0);
      this.#idsByText.set(embeddedText(chunk), ids.subarray(offset, end));
      offset = end;
    }
    for (const text of this.#idsByText.keys()) {
      if (this.#idsByText.size <= idsRememberedMax) break;
      this.#idsByText.delete(text);
    }
    return chunks;
  }

  #takeIds(text: string): Int32Array | undefined {
    const ids = this.#idsByText.get(text);
    this.#idsByText.delete(text);
    return ids;
  }

  /** Tokens of each text as the model reads it, special tokens included. */
  countTokens(texts: readonly string[], signal: AbortSignal): Promise<number[]> {
    return this.#request<number[]>({ kind: "count", texts }, signal);
  }

  #request<T>(request: ComputeRequest, signal: AbortSignal): Promise<T> {
    return askChild<T>(this.#pool, request, { signal, timeoutMs: requestTimeoutMs });
  }
}

/** Consecutive texts, as many as one request takes. */
function slices(texts: readonly string[]): string[][] {
  const found: string[][] = [];
  let chars = 0;
  for (const text of texts) {
    const slice = found.at(-1);
    if (slice === undefined || slice.length >= textsPerRequestMax || chars + text.length > charsPerRequestMax) {
      found.push([text]);
      chars = 0;
    } else slice.push(text);
    chars += text.length;
  }
  return found;
}
