import type { CachedAnswer } from "@millrace/core";
import type { CacheRedis } from "./cache-redis.ts";
import { MemoryCache } from "./memory-cache.ts";
import { SingleFlight } from "./single-flight.ts";

export interface AnswerCacheOptions {
  readonly redis: CacheRedis;
  readonly memoryBytesMax: number;
  readonly ttlSeconds: number;
  /** Life of an answer without hits: random questions must not fill the cache. */
  readonly emptyTtlSeconds: number;
  /** How old the content may be that the answer under a `staleKey` was computed from. */
  readonly staleSeconds?: number;
}

export interface AnswerCacheCounts {
  memoryHits: number;
  redisHits: number;
  stale: number;
  misses: number;
}

/** No search takes longer than this unless its store is in trouble; a dead process's lock is in the way no longer. */
const lockTtlMs = 2_000;
/** An entry that is asked for all the time costs Redis one read in so long. */
const memoryTtlMs = 2_000;
/** For an answer that nobody waits for. */
const refreshTimeoutMs = 30_000;

/**
 * Serialised answers: in this process, then on the cache Redis, and what neither has is computed once for all who ask. Bytes go through as they are, from
 * Redis to the socket.
 *
 * Right by its keys, which name the epoch of the content: there is nothing to invalidate, and an entry of an earlier epoch is never asked for again.
 *
 * Where that is asked for, an answer is kept under a second key that survives changes of the content (all but deletes), for `staleSeconds` from the moment when
 * its computation began. Found there after a change, it is given at once, and computed anew in the background.
 */
export class AnswerCache {
  readonly counts: AnswerCacheCounts = { memoryHits: 0, redisHits: 0, stale: 0, misses: 0 };
  readonly memory: MemoryCache;
  readonly flights: SingleFlight;
  readonly #options: AnswerCacheOptions;

  constructor(options: AnswerCacheOptions) {
    this.#options = options;
    this.memory = new MemoryCache({ bytesMax: options.memoryBytesMax });
    this.flights = new SingleFlight({ redis: options.redis, lockTtlMs });
  }

  /**
   * The answer under `key`, or else the one under `staleKey`, or else what `compute` makes, which is then kept.
   * @throws what `compute` throws, of which nothing is kept; the signal's reason
   */
  async answer(
    key: string,
    compute: (signal: AbortSignal) => Promise<{ readonly bytes: Uint8Array; readonly empty: boolean }>,
    signal: () => AbortSignal,
    staleKey?: string,
  ): Promise<CachedAnswer> {
    const remembered = this.memory.get(key);
    if (remembered !== undefined) {
      this.counts.memoryHits++;
      return { bytes: remembered, cache: "hit" };
    }
    const found = await this.#read(key);
    if (found !== undefined) {
      this.counts.redisHits++;
      return { bytes: found, cache: "hit" };
    }
    const flight = {
      read: () => this.#read(key),
      compute: async (shared: AbortSignal) => {
        const begunAt = staleKey === undefined ? undefined : await this.#redisTimeMs();
        const { bytes, empty } = await compute(shared);
        this.#keep(key, bytes, empty ? this.#options.emptyTtlSeconds : this.#options.ttlSeconds);
        if (staleKey !== undefined && begunAt !== undefined) this.#keepForLater(staleKey, bytes, begunAt);
        return bytes;
      },
    };
    const stale = staleKey === undefined ? undefined : await this.#readStale(staleKey);
    if (stale !== undefined) {
      this.counts.stale++;
      // Whatever comes of it: who asks next after the stale answer has run out, is told.
      this.flights.run(key, flight, AbortSignal.timeout(refreshTimeoutMs)).catch(() => undefined);
      return { bytes: stale, cache: "stale" };
    }
    this.counts.misses++;
    const { value } = await this.flights.run(key, flight, signal());
    return { bytes: value, cache: "miss" };
  }

  async #read(key: string): Promise<Uint8Array | undefined> {
    const value = (await this.#options.redis.attempt((redis) => redis.getBuffer(key))) ?? undefined;
    if (value !== undefined) this.memory.set(key, value, memoryTtlMs);
    return value;
  }

  async #readStale(staleKey: string): Promise<Uint8Array | undefined> {
    return (await this.#options.redis.attempt((redis) => redis.getBuffer(staleKey))) ?? undefined;
  }

  /** On the cache Redis only, to a time by its own clock: however late the command arrives, the entry ends when it must, for all processes alike. */
  #keepForLater(staleKey: string, bytes: Uint8Array, begunAt: number): void {
    // Nobody has to wait for that.
    void this.#options.redis.attempt((redis) =>
      redis.set(staleKey, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), "PXAT", begunAt + this.#staleMs),
    );
  }

  async #redisTimeMs(): Promise<number | undefined> {
    const time = await this.#options.redis.attempt((redis) => redis.time());
    return time === undefined ? undefined : Number(time[0]) * 1_000 + Math.floor(Number(time[1]) / 1_000);
  }

  get #staleMs(): number {
    return (this.#options.staleSeconds ?? 0) * 1_000;
  }

  /** Nobody has to wait for Redis: who waits in another process looks there when the flight's lock is gone, and that goes over the same connection, later. */
  #keep(key: string, bytes: Uint8Array, ttlSeconds: number): void {
    // Entries written together should not end together: a tenth of the time is left to chance.
    const ttlMs = Math.round(ttlSeconds * 1_000 * (0.9 + Math.random() * 0.1));
    this.memory.set(key, bytes, memoryTtlMs);
    void this.#options.redis.attempt((redis) => redis.set(key, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), "PX", ttlMs));
  }
}
