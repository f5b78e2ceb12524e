import { type Embedder, type EmbeddingSpace, type EmbedPurpose, isMillraceError, limits } from "@millrace/core";
import { type BatchCounts, Batcher } from "@millrace/runtime";

/**
 * An embedder for queries: those that come while the model is busy are embedded in one go. Small texts cost the model little more together than
 * alone.
 */
export class BatchingEmbedder implements Embedder {
  readonly space: EmbeddingSpace;
  readonly #batcher: Batcher<{ readonly text: string; readonly purpose: EmbedPurpose }, Float32Array>;

  constructor(inner: Embedder) {
    this.space = inner.space;
    this.#batcher = new Batcher({
      send: (asked) => {
        const texts = asked.map(({ text }) => text);
        return inner.embed(texts, AbortSignal.timeout(limits.requestTimeoutMs), asked[0]?.purpose);
      },
      kindOf: ({ purpose }) => purpose,
      sizeMax: limits.queriesPerBatchMax,
      inFlightMax: 1,
      // A text that is too long is refused with all that came with it.
      isOneToBlame: (error) => isMillraceError(error) && !error.retryable,
    });
  }

  get counts(): Readonly<BatchCounts> {
    return this.#batcher.counts;
  }

  /** Whether queries are being embedded, or wait for it. */
  get isBusy(): boolean {
    return this.#batcher.isBusy;
  }

  embed(texts: readonly string[], signal: AbortSignal, purpose: EmbedPurpose = "document"): Promise<Float32Array[]> {
    return Promise.all(texts.map((text) => this.#batcher.ask({ text, purpose }, signal)));
  }
}
