import { join } from "node:path";
import { ConfigError, spaceMismatch } from "@millrace/core";
import { EmbeddingSpaces, Ledger, Reconciler } from "@millrace/ledger";
import { Consumer, Producer } from "@millrace/queue";
import { assertQueueRedisSafe, type Config, connectRedis, FileBlobStore, type Lifecycle, type Logger } from "@millrace/runtime";
import { MilvusVectorStore } from "@millrace/vector-store";
import { type HandlerDeps, handleDocumentJob, handleMaintenanceJob } from "./job-handlers.ts";
import { ParserPool } from "./parse/parser-pool.ts";
import type { ChunkingEmbedder, Stage } from "./process-document.ts";
import { Sweep } from "./sweep.ts";
import { Turns } from "./turns.ts";
import { WatchedEmbedder } from "./watched-embedder.ts";
import { writeLingerMs } from "./write-linger.ts";

export interface WorkerParts {
  readonly config: Config;
  readonly logger: Logger;
  /** Closes what was started, the last first. */
  readonly lifecycle: Lifecycle;
  readonly embedder: ChunkingEmbedder;
  /** Told what is about to be done with a document. */
  readonly onStage?: (stage: Stage) => void;
}

/** Jobs under way get this long to finish at a stop, before they are aborted and handed back. */
const drainMs = 8_000;
/**
 * Connects a worker and starts its consumers.
 * @throws ConfigError `config.incomplete`, `redis.evicts` | DependencyError `redis.unavailable`
 */
export async function startWorker({ config, logger, lifecycle, embedder, onStage = () => undefined }: WorkerParts): Promise<void> {
  const { redisQueueUrl, milvusAddress } = config;
  if (redisQueueUrl === undefined || milvusAddress === undefined) {
    throw new ConfigError("config.incomplete", "A worker needs REDIS_QUEUE_URL and MILVUS_ADDRESS", {
      hint: "`millrace up` starts workers with both.",
    });
  }
  const connect = (role: "queue" | "ledger" | "worker") =>
    connectRedis(redisQueueUrl, role, (error) => logger.warn({ role, reason: error.message }, "redis.error"));
  const redis = connect("queue");
  lifecycle.onClose("redis", () => redis.disconnect());
  const ledgerRedis = connect("ledger");
  lifecycle.onClose("ledger redis", () => ledgerRedis.disconnect());
  const { appendOnly } = await assertQueueRedisSafe(redis);
  if (!appendOnly) logger.warn("The queue Redis has no append-only file: accepted work is lost when it stops");

  const parser = new ParserPool({ size: 2, niceness: config.workerNiceness, ...config.parse });
  lifecycle.onClose("parser", () => parser.close());
  const watched = new WatchedEmbedder(embedder);
  const store = new MilvusVectorStore({
    address: milvusAddress,
    space: embedder.space,
    redis: ledgerRedis,
    writeLingerMs: (waiting) => writeLingerMs(watched.calls, waiting, config.workerConcurrency, performance.now()),
    ...(config.milvusToken === undefined ? {} : { token: config.milvusToken }),
  });
  lifecycle.onClose("vector store", () => store.close());
  const producer = new Producer(redis);
  lifecycle.onClose("producer", () => producer.close());
  const ledger = new Ledger(ledgerRedis);
  const spaces = new EmbeddingSpaces(ledgerRedis);
  const blobs = new FileBlobStore(join(config.home, "blobs"));

  const deps: HandlerDeps = {
    ledger,
    spaces,
    blobs,
    parser,
    embedder: watched,
    store,
    producer,
    chunking: config.chunking,
    logger,
    onStage,
    turns: new Turns(),
  };
  const documents = new Consumer({
    name: "documents",
    connect: () => connect("worker"),
    producer,
    concurrency: config.workerConcurrency,
    logger,
    handle: (data, signal) => handleDocumentJob(data, signal, deps),
  });
  const maintenance = new Consumer({
    name: "maintenance",
    connect: () => connect("worker"),
    producer,
    concurrency: 1,
    logger,
    handle: (data, signal) => handleMaintenanceJob(data, signal, deps),
  });
  lifecycle.onClose("consumers", async () => {
    await Promise.all([documents.close(drainMs), maintenance.close(drainMs)]);
  });
  const sweep = new Sweep({
    redis,
    ledger,
    inOurSpace: async (project) => spaceMismatch(project, await spaces.of(project), embedder.space) === undefined,
    producer,
    logger,
    auditSeconds: config.auditSeconds,
    reconciler: new Reconciler({ ledger, store, blobs, queue: producer }),
  });
  lifecycle.onClose("sweep", () => sweep.close());
  documents.start();
  maintenance.start();
  sweep.start();
  logger.info({ concurrency: config.workerConcurrency, model: embedder.space.modelId }, "worker.started");
}
