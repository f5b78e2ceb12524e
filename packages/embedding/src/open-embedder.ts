import { join } from "node:path";
import { type Chunk, type ChunkingOptions, ConfigError, type Embedder, type EmbeddingSpace, type ParsedDocument } from "@millrace/core";
import type { Config } from "@millrace/runtime";
import { LocalEmbedder } from "./local-embedder.ts";
import { readModel } from "./model.ts";
import { OpenAiEmbedder } from "./openai-embedder.ts";
import { openAiSpace, transformersSpace } from "./space.ts";
import { TransformersEmbedder } from "./transformers-embedder.ts";

/** An embedder with what its tokenizer can do besides. */
export interface OpenEmbedder extends Embedder {
  /** Loads the model now, or asks the server, rather than at the first text. */
  start(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
  /** Process ids of its child processes, for memory accounting. */
  pids(): number[];
  chunk(document: ParsedDocument, options: ChunkingOptions, signal: AbortSignal): Promise<readonly Chunk[]>;
  /** Tokens of each text, special tokens included. */
  countTokens(texts: readonly string[], signal: AbortSignal): Promise<number[]>;
}

/**
 * The space of the configured embedder, without its model in memory.
 * @throws ConfigError `model.missing`, `model.damaged`, `chunk.exceeds_model`
 */
export function embeddingSpaceOf(config: Config): EmbeddingSpace {
  const { embedder, model, chunking } = config;
  const space =
    embedder === undefined
      ? readModel(model.path, model.dtype).space
      : embedder.kind === "openai"
        ? openAiSpace(embedder)
        : transformersSpace(embedder);
  if (chunking.tokensMax > space.tokensMax) {
    throw new ConfigError(
      "chunk.exceeds_model",
      `${space.modelId} reads ${space.tokensMax} tokens, and chunks may have ${chunking.tokensMax}`,
      {
        hint: `Set MILLRACE_CHUNK_TOKENS_MAX to ${space.tokensMax} or less.`,
      },
    );
  }
  return space;
}

export interface OpenEmbedderOptions {
  /** Compute processes of one thread each; of a transformers.js model, threads of its one process. Default 1. */
  readonly processes?: number;
  /** How far they give way to other processes, 0 to 19. Default 0. */
  readonly niceness?: number;
}

/** The configured embedder. @throws ConfigError as `embeddingSpaceOf` */
export function openEmbedder(config: Config, options: OpenEmbedderOptions = {}): OpenEmbedder {
  embeddingSpaceOf(config);
  const { embedder, model, runtime, embedderKey: key } = config;
  if (embedder === undefined) return new LocalEmbedder({ modelPath: model.path, dtype: model.dtype, ...options });
  if (embedder.kind === "openai") return new OpenAiEmbedder({ config: embedder, key });
  const { processes: threads, niceness } = options;
  return new TransformersEmbedder({ config: embedder, cacheFolder: join(runtime, "hub"), threads, niceness });
}
