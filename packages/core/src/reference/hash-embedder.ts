import { InvalidInputError } from "../errors.ts";
import { pipelineFingerprintOf } from "../identity.ts";
import type { Embedder, EmbeddingSpace, TokenCounter } from "../ports.ts";

/**
 * The reference Embedder: a hashed bag of words. Texts that share words are near each other, nothing more; for tests, and as the shortest statement of the contract.
 */
export class HashEmbedder implements Embedder {
  readonly space: EmbeddingSpace;
  /** Counts as this embedder does: one token per started five characters of a word, two for the ends of the text. */
  readonly tokens: TokenCounter = {
    specialTokens: 2,
    count: (text) => wordsOf(text).reduce((sum, word) => sum + Math.ceil(word.length / charsPerToken), 0),
  };

  constructor({ dimension = 384, tokensMax = 256 }: { readonly dimension?: number; readonly tokensMax?: number } = {}) {
    this.space = {
      modelId: "hashed-words",
      fingerprint: pipelineFingerprintOf({ model: "hashed-words", dimension, tokensMax }),
      dimension,
      tokensMax,
    };
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]> {
    signal.throwIfAborted();
    return texts.map((text) => {
      const tokenCount = this.tokens.count(text) + this.tokens.specialTokens;
      if (tokenCount > this.space.tokensMax) {
        throw new InvalidInputError("embed.too_long", `A text has ${tokenCount} tokens, more than ${this.space.tokensMax}`, {
          hint: "Shorten it.",
        });
      }
      return bagOfWords(text, this.space.dimension);
    });
  }
}

const charsPerToken = 5;

function wordsOf(text: string): readonly string[] {
  return text.match(/\S+/g) ?? [];
}

function bagOfWords(text: string, dimension: number): Float32Array {
  const vector = new Float32Array(dimension);
  // A text without words has a direction too: a zero vector cannot be compared with anything.
  const words = wordsOf(text.toLowerCase());
  for (const word of words.length === 0 ? [""] : words) {
    const slot = hashOf(word) % dimension;
    vector[slot] = (vector[slot] ?? 0) + 1;
  }
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

/** FNV-1a over UTF-16 code units, 32 bits unsigned. */
function hashOf(word: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < word.length; index++) hash = Math.imul(hash ^ word.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
