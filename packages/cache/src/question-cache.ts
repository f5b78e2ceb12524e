import { type EarlierQuestion, limits, type StoredAnswer } from "@millrace/core";
import type { CacheRedis } from "./cache-redis.ts";
import { type Flight, type FlightRole, SingleFlight } from "./single-flight.ts";

export interface QuestionCacheOptions {
  readonly redis: CacheRedis;
  readonly ttlSeconds: number;
}

interface StoredQuestion extends Omit<EarlierQuestion, "vector"> {
  /** 32-bit floats, base64. */
  readonly vector: string;
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

  async keep(key: string, answer: StoredAnswer, isProvisional: boolean): Promise<void> {
    const ttlSeconds = isProvisional ? Math.min(this.#ttlSeconds, limits.provisionalAnswerTtlSeconds) : this.#ttlSeconds;
    await this.#redis.attempt((redis) => redis.set(key, JSON.stringify(answer), "EX", ttlSeconds));
  }

  /** Replaces an answer that is there, which lives no longer for that. */
  async confirm(key: string, answer: StoredAnswer): Promise<void> {
    await this.#redis.attempt((redis) => redis.call("SET", key, JSON.stringify(answer), "XX", "KEEPTTL"));
  }

  async drop(key: string): Promise<void> {
    await this.#redis.attempt((redis) => redis.del(key));
  }

  /** @returns with their vectors, all compared by whoever asks: they are few, since they share their evidence */
  async earlier(evidenceKey: string): Promise<EarlierQuestion[]> {
    const found = (await this.#redis.attempt((redis) => redis.lrange(evidenceKey, 0, -1))) ?? [];
    return found.map((text) => {
      const { question, key, vector } = JSON.parse(text) as StoredQuestion;
      const bytes = Buffer.from(vector, "base64");
      return { question, key, vector: new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) };
    });
  }

  /** The latest stay; all of them as long as the latest one's answer. */
  async keepQuestion(evidenceKey: string, { question, key, vector }: EarlierQuestion): Promise<void> {
    const bytes = Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
    const stored: StoredQuestion = { question, key, vector: bytes.toString("base64") };
    await this.#redis.attempt((redis) =>
      redis
        .multi()
        .lpush(evidenceKey, JSON.stringify(stored))
        .ltrim(evidenceKey, 0, limits.similarQuestionsMax - 1)
        .expire(evidenceKey, this.#ttlSeconds)
        .exec(),
    );
  }

  once<T>(key: string, flight: Flight<T>, signal: AbortSignal): Promise<{ readonly value: T; readonly role: FlightRole }> {
    return this.flights.run(key, flight, signal);
  }
}
