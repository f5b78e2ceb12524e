import type { Chunk, ChunkingOptions, EmbeddingSpace, EmbedPurpose, ParsedDocument } from "@millrace/core";
import type { ChunkingEmbedder } from "./process-document.ts";

/** An embedder that tells how much it has to do. */
export class WatchedEmbedder implements ChunkingEmbedder {
  readonly space: EmbeddingSpace;
  readonly #inner: ChunkingEmbedder;
  #calls = 0;

  constructor(inner: ChunkingEmbedder) {
    this.space = inner.space;
    this.#inner = inner;
  }

  /** How many wait for their vectors. */
  get calls(): number {
    return this.#calls;
  }

  async embed(texts: readonly string[], signal: AbortSignal, purpose?: EmbedPurpose): Promise<Float32Array[]> {
    this.#calls++;
    try {
      return await this.#inner.embed(texts, signal, purpose);
    } finally {
      this.#calls--;
    }
  }

  chunk(document: ParsedDocument, options: ChunkingOptions, signal: AbortSignal): Promise<readonly Chunk[]> {
    return this.#inner.chunk(document, options, signal);
  }
}
