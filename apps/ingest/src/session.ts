import { join } from "node:path";
import { DependencyError } from "@millrace/core";
import { EmbeddingSpaces, Ledger } from "@millrace/ledger";
import { Producer } from "@millrace/queue";
import { type Config, connectRedis, FileBlobStore } from "@millrace/runtime";
import { readRunState } from "@millrace/stack";
import { startInBackground } from "./background.ts";
import { connectQueueRedis, type QueueRedis } from "./queue-connection.ts";

/** Connections of one command to the installation. */
export interface Session {
  readonly ledger: Ledger;
  readonly spaces: EmbeddingSpaces;
  /** Of its own connection, which reading events blocks. */
  readonly events: Ledger;
  readonly producer: Producer;
  readonly blobs: FileBlobStore;
  readonly redis: QueueRedis;
  close(): Promise<void>;
}

/**
 * Connects to the queue Redis: the configured one, else that of the running installation. With `start`, one is started where neither is.
 * @throws DependencyError `millrace.not_running` | `redis.unavailable` | ConfigError `redis.evicts`
 */
export async function openSession(config: Config, options: { start?: boolean } = {}): Promise<Session> {
  const url = await queueUrl(config, options.start === true);
  const redis = await connectQueueRedis(url);
  // Failed commands throw what matters; single connection attempts in between are no news.
  const eventsRedis = connectRedis(url, "queue", () => undefined);
  const producer = new Producer(redis);
  return {
    ledger: new Ledger(redis),
    spaces: new EmbeddingSpaces(redis),
    events: new Ledger(eventsRedis),
    producer,
    blobs: new FileBlobStore(join(config.home, "blobs")),
    redis,
    async close() {
      await producer.close();
      redis.disconnect();
      eventsRedis.disconnect();
    },
  };
}

/** Runs an action with a session and closes it, whatever happens. */
export async function withSession<T>(config: Config, action: (session: Session) => Promise<T>): Promise<T> {
  const session = await openSession(config);
  try {
    return await action(session);
  } finally {
    await session.close();
  }
}

async function queueUrl(config: Config, start: boolean): Promise<string> {
  if (config.redisQueueUrl !== undefined) return config.redisQueueUrl;
  const running = await readRunState(config.home);
  const usable = !start || running?.phase === "ready" ? running : await startInBackground(config);
  const url = usable?.redisQueueUrl;
  if (url === undefined) {
    throw new DependencyError("millrace.not_running", `Millrace does not run on ${config.home}`, {
      hint: "Start it with `millrace up --detach`.",
    });
  }
  return url;
}
