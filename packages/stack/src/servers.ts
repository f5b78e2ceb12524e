import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { type Config, environmentWith, Redis } from "@millrace/runtime";
import { milvusLiteCommand, redisServerBinary } from "./binaries.ts";
import type { ServerSpec } from "./server-process.ts";

/**
 * A private redis-server on the loopback, with a password, since the loopback is open to every user of the machine. The settings stand in a file only
 * we can read, so that the password is in no process list.
 */
export function redisServer(config: Config, role: "queue" | "cache", port: number, password: string): ServerSpec {
  const name = `redis-${role}`;
  const data = join(config.home, name);
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const settings = join(data, "redis.conf");
  // Its own command line tells it from other servers, should its owner be killed: it must not rewrite that.
  const common = [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${JSON.stringify(data)}`,
    `requirepass ${password}`,
    "daemonize no",
    "loglevel notice",
    "set-proc-title no",
    // How often a second it looks after itself. Half of its own 10; less often, and it may be busy with what has expired for long in one go.
    "hz 5",
  ];
  const byRole =
    role === "queue"
      ? [
          ...["maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec", 'save ""'],
          // A job's fields are longer than the 64 bytes up to which a hash is kept compact: 256 makes a waiting document a third smaller. But a compact
          // hash is read from its beginning for every field, which those that grow with the project should not be.
          ...["hash-max-ziplist-value 256", "hash-max-ziplist-entries 64"],
        ]
      : [`maxmemory ${config.embedded.cacheBytesMax}`, "maxmemory-policy allkeys-lfu", "appendonly no", 'save ""'];
  writeFileSync(settings, `${[...common, ...byRole].join("\n")}\n`, { mode: 0o600 });
  const env = environmentWith({});
  return {
    name,
    home: config.home,
    command: redisServerBinary(config.runtime, env["PATH"] ?? ""),
    args: [settings],
    env,
    stopSignal: "SIGTERM",
    probe: () => probeRedis(port, password),
  };
}

/** Milvus Lite on the loopback: it has no authentication, and writes its log when it ends by SIGINT. */
export function milvusLite(config: Config, port: number): ServerSpec {
  const data = join(config.home, "milvus");
  mkdirSync(data, { recursive: true, mode: 0o700 });
  return {
    name: "milvus-lite",
    home: config.home,
    ...milvusLiteCommand(config.runtime, port, data),
    env: environmentWith({}),
    stopSignal: "SIGINT",
    // It opens its port when it can answer; what a client needs beyond that, the vector store waits for.
    probe: () => probePort(port),
  };
}

async function probeRedis(port: number, password: string): Promise<void> {
  const redis = new Redis({
    host: "127.0.0.1",
    port,
    password,
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: 1_000,
  });
  redis.on("error", () => undefined); // the rejection below says the same
  try {
    await redis.connect();
    // Fails with LOADING until the data are read.
    await redis.ping();
  } finally {
    redis.disconnect();
  }
}

function probePort(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: 1_000 });
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.once("timeout", () => socket.destroy(new Error("no answer")));
    socket.once("error", reject);
  });
}
