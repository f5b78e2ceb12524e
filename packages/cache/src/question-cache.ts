import { limits, type StoredAnswer } from "@millrace/core";
import type { CacheRedis } from "./cache-redis.ts";
import { type Flight, type FlightRole, SingleFlight } from "./single-flight.ts";

export interface QuestionCacheOptions {
  readonly redis: CacheRedis;
  readonly ttlSeconds: number;
}

/** A model may take its time, so that its process must show that it lives. */
const lockTtlMs = 5_000;
const patienceMs = limits.requestTimeoutMs + limits.llmTotalTimeoutMs;
/** An answer takes seconds: nobody notices so short a pause. */
const pollMs = 25;

/**
 * Answers to questions, on the cache Redis alone: before one is given its evidence is looked up in the ledger, so that a copy in the process would save nothing
 * that counts. What is broken is a miss.
 */
export class QuestionCache {
  readonly flights: SingleFlight;
  readonly #redis: CacheRedis;
  readonly #ttlSeconds: number;

  constructor({ redis, ttlSeconds }: QuestionCacheOptions) {
    this.#redis = redis;
    this.#ttlSeconds = ttlSeconds;
    this.flights = new SingleFlight({ redis, lockTtlMs, patienceMs, pollMs });
  }

  /** Commands that failed or timed out. */
  get failures(): number {
    return this.#redis.failures;
  }

  async read(key: string): Promise<StoredAnswer | undefined> {
    const text = await this.#redis.attempt((redis) => redis.get(key));
    return typeof text === "string" ? (JSON.parse(text) as StoredAnswer) : undefined;
  }

  async keep(key: string, answer: StoredAnswer): Promise<void> {
    await this.#redis.attempt((redis) => redis.set(key, JSON.stringify(answer), "EX", this.#ttlSeconds));
  }

  /** Replaces an answer that is there, which lives no longer for that. */
  async confirm(key: string, answer: StoredAnswer): Promise<void> {
    await this.#redis.attempt((redis) => redis.call("SET", key, JSON.stringify(answer), "XX", "KEEPTTL"));
  }

  async drop(key: string): Promise<void> {
    await this.#redis.attempt((redis) => redis.del(key));
  }

  once<T>(key: string, flight: Flight<T>, signal: AbortSignal): Promise<{ readonly value: T; readonly role: FlightRole }> {
    return this.flights.run(key, flight, signal);
  }
}
