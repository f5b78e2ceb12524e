import { limits } from "@millrace/core";
import type { Redis } from "ioredis";

export type BreakerState = "closed" | "open" | "half-open";

/**
 * The cache Redis behind a circuit breaker. It may vanish or freeze at any moment: whatever goes wrong is `undefined`, never an error.
 *
 * The first command that fails or takes longer than `cacheTimeoutMs` opens the breaker and ends the wait of all others at once, so that a frozen Redis
 * costs each request at most that time, and only once. While it is open nothing is sent. After `openMs` one PING, which no request waits for, finds
 * out whether it may close (half-open).
 */
export class CacheRedis {
  readonly #redis: Redis;
  readonly #openMs: number;
  readonly #timeoutMs: number;
  #state: BreakerState = "closed";
  #openedAt = 0;
  #waiting = new Set<() => void>();
  /** Commands that failed or timed out. */
  failures = 0;

  /** @param redis connected with the role "cache": fails at once while Redis is away */
  constructor(
    redis: Redis,
    { openMs = 1_000, timeoutMs = limits.cacheTimeoutMs }: { readonly openMs?: number; readonly timeoutMs?: number } = {},
  ) {
    this.#redis = redis;
    this.#openMs = openMs;
    this.#timeoutMs = timeoutMs;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** The command's reply; undefined when there was none in time, or the breaker is open. */
  async attempt<T>(command: (redis: Redis) => Promise<T>): Promise<T | undefined> {
    if (this.#state !== "closed") {
      if (this.#state === "open" && performance.now() - this.#openedAt >= this.#openMs) void this.#probe();
      return undefined;
    }
    return this.#inTime(command);
  }

  /** For those who watch over it: past the breaker. @throws Error when there is no answer in time */
  async ping(): Promise<void> {
    if ((await this.#inTime((redis) => redis.ping())) === undefined)
      throw new Error(`The cache Redis does not answer within ${this.#timeoutMs} ms`);
  }

  async #probe(): Promise<void> {
    this.#state = "half-open";
    if ((await this.#inTime((redis) => redis.ping())) !== undefined) this.#state = "closed";
  }

  #inTime<T>(command: (redis: Redis) => Promise<T>): Promise<T | undefined> {
    return new Promise((resolve) => {
      const end = (value: T | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(giveUp);
        resolve(value);
      };
      const giveUp = (): void => end(undefined);
      const fail = (): void => {
        if (!this.#waiting.has(giveUp)) return; // its wait has ended already
        this.failures++;
        this.#open();
      };
      // Timers come before sockets in a turn of the event loop: after a busy spell, a reply that is there already still counts.
      const timer = setTimeout(() => setImmediate(fail), this.#timeoutMs);
      this.#waiting.add(giveUp);
      command(this.#redis).then(end, fail);
    });
  }

  #open(): void {
    this.#state = "open";
    this.#openedAt = performance.now();
    for (const giveUp of [...this.#waiting]) giveUp();
  }
}
