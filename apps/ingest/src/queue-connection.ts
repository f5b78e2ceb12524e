import { DependencyError, isMillraceError } from "@millrace/core";
import { assertQueueRedisSafe, connectRedis } from "@millrace/runtime";
import { withoutPassword } from "./terminal.ts";

export type QueueRedis = ReturnType<typeof connectRedis>;

/**
 * A connection to a queue Redis that answers and does not evict.
 * @throws DependencyError `redis.unavailable` with the reason of the last try | ConfigError `redis.evicts`
 */
export async function connectQueueRedis(url: string): Promise<QueueRedis> {
  let reason = "";
  const redis = connectRedis(url, "queue", (error) => {
    reason = error.message;
  });
  try {
    await assertQueueRedisSafe(redis);
    return redis;
  } catch (error) {
    redis.disconnect();
    if (!isMillraceError(error) || error.code !== "redis.unavailable" || reason === "") throw error;
    throw new DependencyError(error.code, `The queue Redis at ${withoutPassword(url)} does not answer: ${reason}`, {
      cause: error,
      hint: "Start it, or correct REDIS_QUEUE_URL.",
    });
  }
}
