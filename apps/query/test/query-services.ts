import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { embeddingSpaceOf } from "@millrace/embedding";
import { ApiKeys, EmbeddingSpaces, Ledger } from "@millrace/ledger";
import { connectRedis, loadConfig } from "@millrace/runtime";
import { freePort, startMilvusLite, startRedis, type TestMilvusLite, type TestRedis } from "@millrace/testing";
import { MilvusVectorStore } from "@millrace/vector-store";

const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));

/** The built query service in some processes, as they run in production, on real servers of their own; without workers. */
export class QueryServices {
  readonly #home: string;
  readonly #processes: readonly ChildProcess[];
  readonly #connection: ReturnType<typeof connectRedis>;
  readonly queueRedis: TestRedis;
  readonly cacheRedis: TestRedis;
  readonly milvus: TestMilvusLite;
  /** One for each process, `http://127.0.0.1:port`. */
  readonly urls: readonly string[];
  readonly adminKey: string;
  /** To put things in past the service. */
  readonly ledger: Ledger;
  readonly keys: ApiKeys;
  readonly spaces: EmbeddingSpaces;
  readonly store: MilvusVectorStore;
  readonly space = embeddingSpaceOf(loadConfig());

  private constructor(
    parts: Pick<QueryServices, "queueRedis" | "cacheRedis" | "milvus" | "urls" | "adminKey">,
    home: string,
    processes: readonly ChildProcess[],
  ) {
    this.queueRedis = parts.queueRedis;
    this.cacheRedis = parts.cacheRedis;
    this.milvus = parts.milvus;
    this.urls = parts.urls;
    this.adminKey = parts.adminKey;
    this.#home = home;
    this.#processes = processes;
    this.#connection = connectRedis(parts.queueRedis.url, "queue", () => undefined);
    this.ledger = new Ledger(this.#connection);
    this.keys = new ApiKeys(this.#connection);
    this.spaces = new EmbeddingSpaces(this.#connection);
    this.store = new MilvusVectorStore({ address: parts.milvus.address, space: this.space, redis: this.#connection });
  }

  static async start(processCount: number, settings: Readonly<Record<string, string>> = {}): Promise<QueryServices> {
    const [home, queueRedis, cacheRedis, milvus] = await Promise.all([
      mkdtemp(join(tmpdir(), "millrace-query-")),
      startRedis(),
      startRedis(),
      startMilvusLite(),
    ]);
    const ports = await Promise.all(Array.from({ length: processCount }, freePort));
    const processes = await Promise.all(
      ports.map((port) =>
        startProcess({
          MILLRACE_HOME: home,
          MILLRACE_RUNTIME: loadConfig().runtime,
          MILLRACE_PORT: String(port),
          REDIS_QUEUE_URL: queueRedis.url,
          REDIS_CACHE_URL: cacheRedis.url,
          MILVUS_ADDRESS: milvus.address,
          MILLRACE_LOG_LEVEL: "fatal",
          ...settings,
        }),
      ),
    );
    const adminKey = (await readFile(join(home, "admin.key"), "utf8")).trim();
    const urls = ports.map((port) => `http://127.0.0.1:${port}`);
    return new QueryServices({ queueRedis, cacheRedis, milvus, urls, adminKey }, home, processes);
  }

  async close(): Promise<void> {
    for (const each of this.#processes) {
      if (each.exitCode !== null || each.signalCode !== null) continue;
      each.kill("SIGKILL");
      await once(each, "exit");
    }
    await this.store.close();
    this.#connection.disconnect();
    await Promise.all([this.queueRedis.stop(), this.cacheRedis.stop(), this.milvus.stop()]);
    await rm(this.#home, { recursive: true, force: true });
  }
}

async function startProcess(variables: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const child = fork(main, [], { env: { ...process.env, ...variables }, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const [message] = (await Promise.race([once(child, "message"), once(child, "exit")])) as [unknown];
  if (typeof message !== "object") throw new Error(`The query service ended with ${String(message)} before it was ready`);
  return child;
}
