import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Config, Lifecycle, type Logger } from "@millrace/runtime";
import { choosePort, readPorts, writePorts } from "./ports.ts";
import { ServerProcess, type ServerSpec } from "./server-process.ts";
import { milvusLite, redisServer } from "./servers.ts";

export interface StackAddresses {
  readonly redisQueueUrl: string;
  readonly redisCacheUrl: string;
  readonly milvusAddress: string;
}

/**
 * The engines Millrace needs, as private servers under `MILLRACE_HOME`: two redis-servers and Milvus Lite. What the configuration names an
 * address for is not started. The caller has made sure that no other process owns the home (`claimRunState`).
 */
export class EmbeddedStack {
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #lifecycle: Lifecycle;
  readonly #servers = new Map<string, ServerProcess>();

  constructor(config: Config, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
    this.#lifecycle = new Lifecycle(logger);
  }

  /**
   * Resolves when every server answers.
   * @throws ConfigError `stack.not_set_up`; DependencyError `stack.start_failed`. What was started is stopped again.
   */
  async start(): Promise<StackAddresses> {
    const { home, redisQueueUrl, redisCacheUrl, milvusAddress, embedded } = this.#config;
    await mkdir(join(home, "run"), { recursive: true, mode: 0o700 });
    const portsPath = join(home, "run", "ports.json");
    const previous = await readPorts(portsPath);
    const password = await redisPassword(home);
    const ports = {
      queue: await choosePort(embedded.redisQueuePort, previous["queue"]),
      cache: await choosePort(embedded.redisCachePort, previous["cache"]),
      milvus: await choosePort(embedded.milvusPort, previous["milvus"]),
    };
    await writePorts(portsPath, ports);
    const specs: ServerSpec[] = [];
    if (redisQueueUrl === undefined) specs.push(redisServer(this.#config, "queue", ports.queue, password));
    if (redisCacheUrl === undefined) specs.push(redisServer(this.#config, "cache", ports.cache, password));
    if (milvusAddress === undefined) specs.push(milvusLite(this.#config, ports.milvus));
    try {
      await Promise.all(specs.map((spec) => this.#start(spec)));
    } catch (error) {
      await this.close();
      throw error;
    }
    return {
      redisQueueUrl: redisQueueUrl ?? `redis://:${password}@127.0.0.1:${ports.queue}`,
      redisCacheUrl: redisCacheUrl ?? `redis://:${password}@127.0.0.1:${ports.cache}`,
      milvusAddress: milvusAddress ?? `127.0.0.1:${ports.milvus}`,
    };
  }

  /** Process ids by server name, e.g. `redis-queue`. */
  pids(): ReadonlyMap<string, number> {
    return new Map([...this.#servers].flatMap(([name, server]) => (server.pid === undefined ? [] : [[name, server.pid] as const])));
  }

  close(): Promise<void> {
    return this.#lifecycle.close();
  }

  async #start(spec: ServerSpec): Promise<void> {
    const server = new ServerProcess(spec, this.#logger);
    this.#servers.set(spec.name, server);
    this.#lifecycle.onClose(spec.name, () => server.close());
    await server.start();
  }
}

/** One random password per home, kept for its owner only. */
async function redisPassword(home: string): Promise<string> {
  const path = join(home, "run", "redis.password");
  const existing = await readFile(path, "utf8").catch(() => "");
  if (existing !== "") return existing;
  const password = randomBytes(24).toString("hex");
  await writeFile(path, password, { mode: 0o600 });
  return password;
}
