import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { type Config, environmentWith, Redis } from "@millrace/runtime";
import { milvusLitePython, redisServerBinary } from "./binaries.ts";
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
  ];
  const byRole =
    role === "queue"
      ? // A job's fields are longer than the 64 bytes up to which a hash is kept compact: 256 makes a waiting document a third smaller.
        ["maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec", 'save ""', "hash-max-ziplist-value 256"]
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

/**
 * What the command `milvus-lite` does, in a Python set for short requests beside long ones. Its search for cycles of garbage by default goes through everything in
 * memory each time that grew by a quarter, 70 ms and more in which nothing else runs: it becomes rare, and what is loaded at the start is left out of it for good. And of
 * two threads that want to run, one waits 0.5 ms for its turn instead of 5, which a search beside a flush or another search does many times.
 */
const milvusLiteProgram = `import gc, sys
from milvus_lite.cmdline import main
gc.freeze()
gc.set_threshold(100_000, 50, 100)
sys.setswitchinterval(0.0005)
sys.argv[0] = "milvus-lite"
sys.exit(main())`;

/** Milvus Lite on the loopback: it has no authentication, and writes its log when it ends by SIGINT. */
export function milvusLite(config: Config, port: number): ServerSpec {
  const data = join(config.home, "milvus");
  mkdirSync(data, { recursive: true, mode: 0o700 });
  return {
    name: "milvus-lite",
    home: config.home,
    command: milvusLitePython(config.runtime),
    // Isolated: not even a module that lies in the home may take the place of its own.
    args: ["-I", "-c", milvusLiteProgram, "server", "--host", "127.0.0.1", "--port", String(port), "--data-dir", data],
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
