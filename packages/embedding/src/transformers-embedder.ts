import {
  type Chunk,
  type ChunkingOptions,
  type Embedder,
  type EmbeddingSpace,
  type EmbedPurpose,
  limits,
  type ParsedDocument,
} from "@millrace/core";
import { ChildPool, type TransformersConfig } from "@millrace/runtime";
import { askChild } from "./ask-child.ts";
import { transformersSpace } from "./space.ts";
import type { TransformersProcessOptions, TransformersRequest } from "./transformers-process.ts";

/** Texts of one request to the child: others get their turn between, and a stop does not wait long. */
const textsPerRequestMax = 32;
/** Includes loading the model at the first request. */
const requestTimeoutMs = 600_000;

/** What a child process does for embedders that bring no compiled graph of ours: counts, cuts, and embeds where it has a model. */
export class TransformersProcess {
  readonly #pool: ChildPool;

  constructor(options: TransformersProcessOptions, niceness = 0) {
    this.#pool = new ChildPool({
      niceness,
      entry: new URL(import.meta.resolve("@millrace/embedding/transformers-process")),
      size: 1,
      args: [JSON.stringify(options)],
    });
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  pids(): number[] {
    return this.#pool.pids();
  }

  /** @throws as `askChild`; ConfigError `model.missing`, `model.unusable` | DependencyError `model.download_failed` */
  request<T>(request: TransformersRequest, signal: AbortSignal): Promise<T> {
    return askChild<T>(this.#pool, request, { signal, timeoutMs: request.kind === "load" ? limits.modelDownloadMs : requestTimeoutMs });
  }
}

export interface TransformersEmbedderOptions {
  readonly config: TransformersConfig;
  readonly cacheFolder: string;
  /** Default 1. */
  readonly threads?: number | undefined;
  /** How far its process gives way to others, 0 to 19. Default 0. */
  readonly niceness?: number | undefined;
}

/** Any feature-extraction model of transformers.js, in a child process. */
export class TransformersEmbedder implements Embedder {
  readonly space: EmbeddingSpace;
  readonly #config: TransformersConfig;
  readonly #process: TransformersProcess;

  /** @throws ConfigError `model.missing` */
  constructor({ config, cacheFolder, threads = 1, niceness = 0 }: TransformersEmbedderOptions) {
    this.space = transformersSpace(config);
    this.#config = config;
    const { model, tokensMax, documentPrefix } = config;
    this.#process = new TransformersProcess({ tokenizer: model, model: config, tokensMax, documentPrefix, cacheFolder, threads }, niceness);
  }

  /** May take as long as a download, at most `limits.modelDownloadMs`. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#process.request({ kind: "load" }, signal);
    await this.embed(["ready"], signal);
  }

  close(): Promise<void> {
    return this.#process.close();
  }

  pids(): number[] {
    return this.#process.pids();
  }

  async embed(texts: readonly string[], signal: AbortSignal, purpose: EmbedPurpose = "document"): Promise<Float32Array[]> {
    signal.throwIfAborted();
    const prefix = purpose === "query" ? this.#config.queryPrefix : this.#config.documentPrefix;
    const { dimension } = this.space;
    const vectors: Float32Array[] = [];
    for (let from = 0; from < texts.length; from += textsPerRequestMax) {
      const prefixed = texts.slice(from, from + textsPerRequestMax).map((text) => prefix + text);
      const flat = await this.#process.request<Float32Array>({ kind: "embed", texts: prefixed }, signal);
      for (const index of prefixed.keys()) vectors.push(flat.slice(index * dimension, (index + 1) * dimension));
    }
    return vectors;
  }

  chunk(document: ParsedDocument, options: ChunkingOptions, signal: AbortSignal): Promise<Chunk[]> {
    return this.#process.request<Chunk[]>({ kind: "chunk", document, options }, signal);
  }

  /** Tokens of each text, special tokens included and prefixes not. */
  countTokens(texts: readonly string[], signal: AbortSignal): Promise<number[]> {
    return this.#process.request<number[]>({ kind: "count", texts }, signal);
  }
}
