import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { DependencyError, errorMessage, isMillraceError } from "@millrace/core";
import type { Redis } from "ioredis";
import { raceAbort } from "./race-abort.ts";

/**
 * Milvus Lite takes one writer at a time and does not enforce it. The lane does: first in order within the process, so
 * that at most one waiter per process asks Redis, then by a lock in Redis between processes.
 *
 * The lock is a lease (SET with expiry, renewed while held, deleted only by its holder), so a killed holder delays the others by
 * `leaseMs` at most. A holder that was paused past its lease finds that out and fails its write, which may be repeated.
 * Between processes no strict order is kept, but nobody gets the lock twice in a row while another process waits.
 * Lite cannot check a fencing token; it makes each lease distinct and shows in the lock's value who came after whom.
 */
export interface WriterLane {
  /**
   * Runs `write` alone. Rejects at once when aborted; a write that has begun still keeps the lane until it settles.
   * @throws DependencyError `store.lane_lost`, `store.lane_unavailable` (Redis does not answer), `store.busy`; what `write` throws
   */
  run<T>(write: (token: number) => Promise<T>, signal: AbortSignal): Promise<T>;
}

/** For Milvus proper, which takes any number of writers. */
export const openLane: WriterLane = { run: (write, signal) => raceAbort(write(0), signal) };

export interface RedisWriterLaneOptions {
  readonly redis: Redis;
  /** Names the lock; give it a {hash tag} on a Redis Cluster. All writers to one Milvus Lite must use the same. */
  readonly key: string;
  readonly leaseMs?: number;
  /** Longest wait for the lane. */
  readonly waitMsMax?: number;
}

interface Lease {
  readonly token: number;
  /** When the lease was last asked for and granted: Redis counts from a moment after this one. */
  since: number;
}

const pollMs = 5;
/** How long a waiter's sign stays up after it last asked. */
const waitingMs = 50;

export class RedisWriterLane implements WriterLane {
  readonly #redis: Redis;
  readonly #keys: readonly string[];
  readonly #owner = randomUUID();
  readonly #leaseMs: number;
  readonly #waitMsMax: number;
  /** Resolves when the last one in this process's queue has left the lane. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor({ redis, key, leaseMs = 3_000, waitMsMax = 60_000 }: RedisWriterLaneOptions) {
    this.#redis = redis;
    this.#keys = [key, `${key}:fence`, `${key}:waiting`, `${key}:last`];
    this.#leaseMs = leaseMs;
    this.#waitMsMax = waitMsMax;
  }

  run<T>(write: (token: number) => Promise<T>, signal: AbortSignal): Promise<T> {
    const work = this.#tail.then(async () => this.#holding(await this.#acquire(signal), write));
    this.#tail = work.then(
      () => undefined,
      () => undefined, // its caller's; the next in the queue only waits for the end
    );
    return raceAbort(work, signal);
  }

  async #acquire(signal: AbortSignal): Promise<Lease> {
    const giveUpAt = performance.now() + this.#waitMsMax;
    for (;;) {
      signal.throwIfAborted();
      const since = performance.now();
      const token = await this.#script(acquireScript, 4, this.#owner, this.#leaseMs, waitingMs);
      if (token > 0) {
        const lease = { token, since };
        // An answer that took this long, or came to a paused process, is no ground to begin a write on.
        if (!signal.aborted && performance.now() - since < this.#leaseMs / 2) return lease;
        await this.#release(lease);
      }
      if (performance.now() > giveUpAt) {
        throw new DependencyError("store.busy", `Other writers kept the vector store busy for ${this.#waitMsMax} ms`);
      }
      await delay(pollMs, undefined, { signal });
    }
  }

  /** Fails a write whose lease ran out, once it has settled: it cannot be called back, and until then the lane is not free. */
  async #holding<T>(lease: Lease, write: (token: number) => Promise<T>): Promise<T> {
    let lost: DependencyError | undefined;
    const renewal = setInterval(() => {
      void this.#renew(lease).then((held) => {
        if (!held) lost ??= laneLost();
      });
    }, this.#leaseMs / 3);
    let outcomeKnown = true;
    try {
      const value = await write(lease.token);
      // A pause of the whole process shows here and not in the timer.
      if (lost === undefined && performance.now() - lease.since >= this.#leaseMs) lost = laneLost();
      if (lost !== undefined) throw lost;
      return value;
    } catch (error) {
      // After a timeout the server may still be writing: let the lease run out instead of letting the next one in.
      outcomeKnown = !(isMillraceError(error) && error.code === "store.timeout");
      throw lost ?? error;
    } finally {
      clearInterval(renewal);
      if (outcomeKnown) await this.#release(lease);
    }
  }

  async #renew(lease: Lease): Promise<boolean> {
    const since = performance.now();
    try {
      if ((await this.#script(renewScript, 1, this.#valueOf(lease), this.#leaseMs)) === 0) return false;
      lease.since = since;
      return true;
    } catch {
      return performance.now() - lease.since < this.#leaseMs; // Redis is away: the lease holds until it runs out
    }
  }

  async #release(lease: Lease): Promise<void> {
    try {
      await this.#script(releaseScript, 1, this.#valueOf(lease));
    } catch {
      // The write is done; a lock that cannot be deleted runs out by itself.
    }
  }

  #valueOf({ token }: Lease): string {
    return `${token}:${this.#owner}`;
  }

  async #script(script: string, keyCount: number, ...args: readonly (string | number)[]): Promise<number> {
    try {
      return Number(await this.#redis.eval(script, keyCount, ...this.#keys.slice(0, keyCount), ...args));
    } catch (error) {
      throw new DependencyError(
        "store.lane_unavailable",
        `The lock of the vector store's writers does not answer: ${errorMessage(error)}`,
        {
          cause: error,
        },
      );
    }
  }
}

function laneLost(): DependencyError {
  return new DependencyError("store.lane_lost", "The writer's lock ran out during a write; another writer may have come in between");
}

/**
 * KEYS: lock, fence counter, who waits, who held it last. ARGV: owner, lease ms, waiting ms.
 * Returns the fencing token, or 0: held, or free but due to another process that waits.
 */
const acquireScript = `
if redis.call("exists", KEYS[1]) == 1 then
  redis.call("set", KEYS[3], ARGV[1], "PX", ARGV[3])
  return 0
end
local waiting = redis.call("get", KEYS[3])
if waiting and waiting ~= ARGV[1] and redis.call("get", KEYS[4]) == ARGV[1] then return 0 end
if waiting == ARGV[1] then redis.call("del", KEYS[3]) end
local token = redis.call("incr", KEYS[2])
redis.call("set", KEYS[1], token .. ":" .. ARGV[1], "PX", ARGV[2])
redis.call("set", KEYS[4], ARGV[1], "PX", 60000)
return token`;

/** KEYS: lock. ARGV: its value, lease ms. Returns 0 when it is no longer ours. */
const renewScript = `
if redis.call("get", KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call("pexpire", KEYS[1], ARGV[2])`;

/** KEYS: lock. ARGV: its value. */
const releaseScript = `
if redis.call("get", KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call("del", KEYS[1])`;
