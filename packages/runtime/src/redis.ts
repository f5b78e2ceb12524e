import { ConfigError, DependencyError, errorMessage } from "@millrace/core";
import type { Command } from "ioredis";
import { Redis } from "./ioredis.ts";

/**
 * Connection settings per role. The queue connection of a service fails fast (a caller waits for the answer); a BullMQ worker's
 * must retry for ever (`maxRetriesPerRequest: null`, BullMQ insists on it). The cache connection never queues while offline:
 * a broken cache is a miss now, not an answer later.
 */
export type RedisRole = "queue" | "ledger" | "service" | "worker" | "cache";

/** A peer that went away without a word leaves a connection that looks well: one that owes an answer for so long is replaced. */
const patient = { maxRetriesPerRequest: 2, connectTimeout: 5_000, commandTimeout: 10_000, socketTimeout: 5_000 } as const;

const roleOptions = {
  queue: patient,
  // Many documents at once: what they ask in one turn of the event loop goes in one write. Not for BullMQ, which may hang by it.
  ledger: { ...patient, enableAutoPipelining: true },
  // Behind a request: it fails within a second (`serviceTimeoutMs`).
  service: { maxRetriesPerRequest: 2, connectTimeout: 800, socketTimeout: 2_000 },
  worker: { maxRetriesPerRequest: null, connectTimeout: 5_000, socketTimeout: 15_000 },
  cache: { maxRetriesPerRequest: 0, enableOfflineQueue: false, connectTimeout: 1_000, enableAutoPipelining: true },
} as const satisfies Record<RedisRole, object>;

const serviceTimeoutMs = 800;

/**
 * A connection whose commands fail after `serviceTimeoutMs`, by what Redis did and not by what this process did meanwhile: timers come before sockets in a turn of the event
 * loop, so that after a busy turn a command would be too late whose reply is there already. (ioredis' own `commandTimeout` counts such turns.)
 */
class ServiceRedis extends Redis {
  readonly #timed = new WeakSet<Command>();

  override sendCommand(...sent: Parameters<Redis["sendCommand"]>): unknown {
    const [command] = sent;
    // Sent again after a reconnect, it is still the same command.
    if (!this.#timed.has(command)) {
      this.#timed.add(command);
      const expire = (): void => command.reject(new Error("Command timed out"));
      const timer = setTimeout(() => setImmediate(expire), serviceTimeoutMs);
      const settled = (): void => clearTimeout(timer);
      command.promise.then(settled, settled);
    }
    return super.sendCommand(...sent);
  }
}

/** Not yet connected when returned; ioredis connects and reconnects in the background with at most 2 s between tries. */
export function connectRedis(url: string, role: RedisRole, onError: (error: Error) => void): Redis {
  const redis = new (role === "service" ? ServiceRedis : Redis)(url, {
    ...roleOptions[role],
    retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 6), 2_000),
    // A replica that was just demoted answers READONLY: reconnect, so that a failover is followed.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
  });
  redis.on("error", onError);
  return redis;
}

interface RedisSafety {
  readonly policy: string;
  readonly appendOnly: boolean;
  /** Whether its last write to disk went well. */
  readonly writable: boolean;
  /** Of its memory limit; 0 without one. */
  readonly memoryShare: number;
}

/** @throws DependencyError `redis.unavailable` */
export async function readRedisSafety(redis: Redis): Promise<RedisSafety> {
  let info: string;
  try {
    info = await redis.info();
  } catch (error) {
    throw new DependencyError("redis.unavailable", `The queue Redis does not answer: ${errorMessage(error)}`, {
      cause: error,
      hint: "Start it, or correct REDIS_QUEUE_URL.",
    });
  }
  const field = (name: string): string => new RegExp(`^${name}:(.*)$`, "m").exec(info)?.[1]?.trim() ?? "";
  const memoryMax = Number(field("maxmemory"));
  return {
    policy: field("maxmemory_policy") || "unknown",
    appendOnly: field("aof_enabled") === "1",
    writable: field("aof_last_write_status") !== "err" && field("rdb_last_bgsave_status") !== "err",
    memoryShare: memoryMax > 0 ? Number(field("used_memory")) / memoryMax : 0,
  };
}

/**
 * The queue Redis holds jobs and the ledger: an eviction would lose documents silently, so it is refused at start.
 * @throws ConfigError `redis.evicts` | DependencyError `redis.unavailable`
 */
export async function assertQueueRedisSafe(redis: Redis): Promise<{ appendOnly: boolean }> {
  const { policy, appendOnly } = await readRedisSafety(redis);
  if (policy !== "noeviction") {
    throw new ConfigError("redis.evicts", `The queue Redis may evict jobs and documents: its maxmemory-policy is "${policy}"`, {
      hint: "Set maxmemory-policy noeviction on it, and give the cache its own instance in REDIS_CACHE_URL.",
    });
  }
  return { appendOnly };
}
