import {
  type Chunk,
  type ChunkingOptions,
  DependencyError,
  type Embedder,
  type EmbeddingSpace,
  isMillraceError,
  type ParsedDocument,
} from "@millrace/core";
import { ChildPool } from "@millrace/runtime";
import type { ComputeRequest } from "./compute-process.ts";
import { availableCores } from "./cores.ts";
import { type ModelDtype, readModel } from "./model.ts";

export interface LocalEmbedderOptions {
  readonly modelPath: string;
  readonly dtype: ModelDtype;
  /** Compute processes, each with a model in memory. Default 1. */
  readonly processes?: number;
  /** Threads of one process. Default: the cores this process may use, shared out among the processes. */
  readonly threads?: number;
}

/** Texts of one request to a child: about a second of work, so that others get their turn and a stop does not wait long. */
const textsPerRequestMax = 64;
/** A child that is silent for so long hangs. Includes loading the model at its first request. */
const requestTimeoutMs = 120_000;

/** Embeds in child processes with ONNX Runtime; the caller's event loop stays free. A child that dies is replaced, and what it had is asked once more. */
export class LocalEmbedder implements Embedder {
  readonly space: EmbeddingSpace;
  readonly #pool: ChildPool;

  /** @throws ConfigError `model.missing`, `model.damaged` */
  constructor({ modelPath, dtype, processes = 1, threads = Math.max(1, Math.floor(availableCores() / processes)) }: LocalEmbedderOptions) {
    this.space = readModel(modelPath, dtype).space;
    this.#pool = new ChildPool({
      entry: new URL("../dist/compute-process.js", import.meta.url),
      size: processes,
      args: [modelPath, dtype, String(threads)],
    });
  }

  /** Loads the model now rather than at the first text. */
  async start(signal: AbortSignal): Promise<void> {
    await this.embed(["ready"], signal);
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
    // Neighbours in length share a request, so that the child's batches are even; the results go back to their places.
    const byLength = texts.map((_, index) => index).sort((a, b) => (texts[b]?.length ?? 0) - (texts[a]?.length ?? 0));
    const requests: number[][] = [];
    for (let start = 0; start < byLength.length; start += textsPerRequestMax)
      requests.push(byLength.slice(start, start + textsPerRequestMax));
    const vectors: Float32Array[] = new Array(texts.length);
    await Promise.all(
      requests.map(async (indices) => {
        const flat = await this.#request<Float32Array>({ kind: "embed", texts: indices.map((index) => texts[index] ?? "") }, signal);
        for (const [position, index] of indices.entries()) vectors[index] = flat.slice(position * dimension, (position + 1) * dimension);
      }),
    );
    return vectors;
  }

  /** Cuts a document into chunks by the tokens of this model; here, because the tokenizer lives with the model. */
  chunk(document: ParsedDocument, options: ChunkingOptions, signal: AbortSignal): Promise<Chunk[]> {
    return this.#request<Chunk[]>({ kind: "chunk", document, options }, signal);
  }

  /** Tokens of each text as the model reads it, special tokens included. */
  countTokens(texts: readonly string[], signal: AbortSignal): Promise<number[]> {
    return this.#request<number[]>({ kind: "count", texts }, signal);
  }

  async #request<T>(request: ComputeRequest, signal: AbortSignal): Promise<T> {
    const options = { signal, timeoutMs: requestTimeoutMs };
    try {
      return await this.#pool.request<T>(request, options).catch((error: unknown) => {
        if (isMillraceError(error) && error.code === "child.crashed") return this.#pool.request<T>(request, options);
        throw error;
      });
    } catch (error) {
      if (isMillraceError(error) && error.code.startsWith("child.")) {
        throw new DependencyError("embed.unavailable", `The embedding process failed: ${error.message}`, { cause: error });
      }
      throw error;
    }
  }
}
