import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { CacheRedis } from "./cache-redis.ts";

/**
 * Lets one caller compute what many want at the same time: within a process they share one promise, across processes the first to take a lock in
 * the cache Redis computes, and the others look for its result until the lock is gone. The lock saves work and guards nothing: it runs
 * out, and without the cache Redis every process computes for itself.
 */
export interface SingleFlightOptions {
  readonly redis: CacheRedis;
  /** The lock of a process that died in the act is in the way for so long; one that lives renews it. */
  readonly lockTtlMs: number;
  /** So long at most does a caller wait for another process. Default `lockTtlMs`. */
  readonly patienceMs?: number;
  /** Pause between two looks for another process's result. Default 5. */
  readonly pollMs?: number;
}

export interface Flight<T> {
  /** Looks for the result where `compute` leaves it, for those who wait in other processes. Never throws. */
  read(): Promise<T | undefined>;
  /** Makes the result, and has stored it when it resolves, or sent it to the cache Redis before what follows. The signal aborts when nobody waits any more. */
  compute(signal: AbortSignal): Promise<T>;
}

export interface FlightCounts {
  /** Computed here. */
  led: number;
  /** Waited for a computation of this process. */
  joined: number;
  /** Took the result of another process. */
  followed: number;
}

export type FlightRole = keyof FlightCounts;

interface Shared<T> {
  readonly result: Promise<{ readonly value: T; readonly role: FlightRole }>;
  readonly abandon: AbortController;
  waiting: number;
}

/** Releases a lock only if it is still ours. KEYS[1] lock, ARGV[1] token. */
const releaseScript = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/** Lengthens a lock only if it is still ours. KEYS[1] lock, ARGV[1] token, ARGV[2] milliseconds. */
const renewScript = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";

export class SingleFlight {
  readonly counts: FlightCounts = { led: 0, joined: 0, followed: 0 };
  readonly #options: SingleFlightOptions;
  readonly #flights = new Map<string, Shared<unknown>>();

  constructor(options: SingleFlightOptions) {
    this.#options = options;
  }

  /**
   * The result for `key`, computed once for all who ask while it is being computed.
   * @throws what `compute` throws, to all of them alike, and nothing of it is kept; the signal's reason when this caller gives up
   */
  async run<T>(key: string, flight: Flight<T>, signal: AbortSignal): Promise<{ readonly value: T; readonly role: FlightRole }> {
    signal.throwIfAborted();
    const known = this.#flights.get(key) as Shared<T> | undefined;
    const shared = known ?? this.#start(key, flight);
    shared.waiting++;
    try {
      const { value, role } = await unlessAborted(shared.result, signal);
      const own = known === undefined ? role : "joined";
      this.counts[own]++;
      return { value, role: own };
    } finally {
      if (--shared.waiting === 0) {
        if (this.#flights.get(key) === shared) this.#flights.delete(key);
        shared.abandon.abort(new DOMException("Nobody waits for the result", "AbortError"));
      }
    }
  }

  #start<T>(key: string, flight: Flight<T>): Shared<T> {
    const abandon = new AbortController();
    const result = this.#takeOff(`${key}:flight`, flight, abandon.signal).finally(() => {
      if (this.#flights.get(key) === shared) this.#flights.delete(key);
    });
    const shared: Shared<T> = { result, abandon, waiting: 0 };
    this.#flights.set(key, shared);
    return shared;
  }

  async #takeOff<T>(
    lock: string,
    flight: Flight<T>,
    signal: AbortSignal,
  ): Promise<{ readonly value: T; readonly role: "led" | "followed" }> {
    const { redis, lockTtlMs, patienceMs = lockTtlMs, pollMs = 5 } = this.#options;
    const token = randomUUID();
    const giveUpAt = performance.now() + patienceMs;
    let waited = false;
    for (;;) {
      const taken = await redis.attempt((each) => each.set(lock, token, "PX", lockTtlMs, "NX"));
      // Undefined: the cache Redis is away, and with it everybody else's result.
      if (taken !== null || performance.now() >= giveUpAt) {
        const renew = (): void => void redis.attempt((each) => each.eval(renewScript, 1, lock, token, lockTtlMs));
        const renewal = taken === "OK" ? setInterval(renew, lockTtlMs / 3) : undefined;
        try {
          // The lock may have been free because its owner had just finished.
          const found = waited && taken === "OK" ? await flight.read() : undefined;
          if (found !== undefined) return { value: found, role: "followed" };
          return { value: await flight.compute(signal), role: "led" };
        } finally {
          clearInterval(renewal);
          // Also where no reply came in time: the lock may be ours all the same.
          void redis.attempt((each) => each.eval(releaseScript, 1, lock, token));
        }
      }
      waited = true;
      await delay(pollMs, undefined, { signal });
      const found = await flight.read();
      if (found !== undefined) return { value: found, role: "followed" };
    }
  }
}

/** Settles with the promise, or rejects as soon as the signal aborts; the promise may go on for others. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    setMaxListeners(0, signal); // many callers may share one; each takes its listener away again
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
