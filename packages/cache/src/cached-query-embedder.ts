import { type Embedder, type EmbeddingSpace, type EmbedPurpose, sha256Of } from "@millrace/core";
import type { CacheRedis } from "./cache-redis.ts";
import { MemoryCache } from "./memory-cache.ts";

export interface CachedQueryEmbedderOptions {
  readonly redis: CacheRedis;
  readonly memoryBytesMax: number;
  readonly ttlSeconds: number;
}

export interface VectorCacheCounts {
  memoryHits: number;
  redisHits: number;
  misses: number;
}

/**
 * An embedder that remembers the vectors of queries, in this process and on the cache Redis, as the bytes of their 32-bit floats. The key names the embedding
 * space, so that a vector of another model is never found; an ingest changes nothing about a query's vector, so it outlives the answers.
 */
export class CachedQueryEmbedder implements Embedder {
  readonly counts: VectorCacheCounts = { memoryHits: 0, redisHits: 0, misses: 0 };
  readonly space: EmbeddingSpace;
  readonly #inner: Embedder;
  readonly #options: CachedQueryEmbedderOptions;
  readonly #memory: MemoryCache;

  constructor(inner: Embedder, options: CachedQueryEmbedderOptions) {
    this.space = inner.space;
    this.#inner = inner;
    this.#options = options;
    this.#memory = new MemoryCache({ bytesMax: options.memoryBytesMax });
  }

  async embed(texts: readonly string[], signal: AbortSignal, purpose: EmbedPurpose = "document"): Promise<Float32Array[]> {
    return Promise.all(texts.map((text) => this.#embed(text, signal, purpose)));
  }

  async #embed(text: string, signal: AbortSignal, purpose: EmbedPurpose): Promise<Float32Array> {
    const key = `millrace:vector:${this.space.fingerprint}:${purpose}:${sha256Of(text).slice(0, 40)}`;
    const remembered = this.#memory.get(key);
    if (remembered !== undefined) {
      this.counts.memoryHits++;
      return vectorOf(remembered);
    }
    const bytes = await this.#options.redis.attempt((redis) => redis.getBuffer(key));
    // A value of another length is none of ours.
    if (bytes?.byteLength === this.space.dimension * Float32Array.BYTES_PER_ELEMENT) {
      this.counts.redisHits++;
      this.#memory.set(key, bytes, this.#options.ttlSeconds * 1_000);
      return vectorOf(bytes);
    }
    this.counts.misses++;
    const [vector = new Float32Array(this.space.dimension)] = await this.#inner.embed([text], signal, purpose);
    const kept = Buffer.from(vector.buffer.slice(vector.byteOffset, vector.byteOffset + vector.byteLength));
    this.#memory.set(key, kept, this.#options.ttlSeconds * 1_000);
    // Nobody has to wait for that.
    void this.#options.redis.attempt((redis) => redis.set(key, kept, "EX", this.#options.ttlSeconds));
    return vector;
  }
}

/** A copy: the bytes of a reply may lie anywhere in its buffer, floats only at multiples of four. */
function vectorOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}
