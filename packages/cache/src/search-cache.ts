import { limits } from "@millrace/core";
import type { Redis } from "ioredis";

export interface CacheCounts {
  hits: number;
  misses: number;
  /** Failures and timeouts, counted as misses too. */
  errors: number;
}

export interface SearchCacheOptions {
  /** Connected with the role "cache": fails at once while Redis is away. */
  readonly redis: Redis;
  readonly ttlSeconds: number;
}

/** After a failure the cache is left alone for so long: a Redis that hangs costs one timeout, not one per request. */
const breakerOpenMs = 1_000;

/**
 * Serialised answers on the cache Redis, which may vanish at any moment: whatever goes wrong is a counted miss, never an error, and costs at most
 * `cacheTimeoutMs`.
 */
export class SearchCache {
  readonly counts: CacheCounts = { hits: 0, misses: 0, errors: 0 };
  readonly #options: SearchCacheOptions;
  #openUntil = 0;

  constructor(options: SearchCacheOptions) {
    this.#options = options;
  }

  async get(key: string): Promise<string | undefined> {
    const value = await this.#attempt((redis) => redis.get(key));
    if (typeof value === "string") {
      this.counts.hits++;
      return value;
    }
    this.counts.misses++;
    return undefined;
  }

  async set(key: string, value: string): Promise<void> {
    // Entries written together should not end together: a tenth of the time is left to chance.
    const ttlMs = Math.round(this.#options.ttlSeconds * 1_000 * (0.9 + Math.random() * 0.1));
    await this.#attempt((redis) => redis.set(key, value, "PX", ttlMs));
  }

  async #attempt<T>(command: (redis: Redis) => Promise<T>): Promise<T | undefined> {
    if (performance.now() < this.#openUntil) return undefined;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("the cache did not answer in time")), limits.cacheTimeoutMs);
    });
    try {
      return await Promise.race([command(this.#options.redis), timeout]);
    } catch {
      this.counts.errors++;
      this.#openUntil = performance.now() + breakerOpenMs;
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }
}
