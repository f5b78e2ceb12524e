import { join } from "node:path";
import { ConfigError, errorMessage, isMillraceError } from "@millrace/core";
import { LocalEmbedder } from "@millrace/embedding";
import { Ledger } from "@millrace/ledger";
import { Consumer, Producer } from "@millrace/queue";
import { assertQueueRedisSafe, connectRedis, createLogger, exitOnSignal, FileBlobStore, Lifecycle, loadConfig } from "@millrace/runtime";
import { MilvusVectorStore } from "@millrace/vector-store";
import { type HandlerDeps, handleDocumentJob, handleMaintenanceJob } from "./job-handlers.ts";
import { ParserPool } from "./parse/parser-pool.ts";

/** Jobs under way get this long to finish at a stop, before they are aborted and handed back. */
const drainMs = 10_000;

const config = loadConfig();
const logger = createLogger("worker", config.logLevel);
const lifecycle = new Lifecycle(logger);

try {
  await start();
  process.send?.({ type: "ready" });
} catch (error) {
  logger.fatal(
    {
      code: isMillraceError(error) ? error.code : undefined,
      reason: errorMessage(error),
      hint: isMillraceError(error) ? error.hint : undefined,
    },
    "worker.start_failed",
  );
  await lifecycle.close();
  process.exit(error instanceof ConfigError ? 2 : 1);
}

async function start(): Promise<void> {
  exitOnSignal(lifecycle, logger);
  const { redisQueueUrl, milvusAddress } = config;
  if (redisQueueUrl === undefined || milvusAddress === undefined) {
    throw new ConfigError("config.incomplete", "A worker needs REDIS_QUEUE_URL and MILVUS_ADDRESS", {
      hint: "`millrace up` starts workers with both.",
    });
  }
  const connect = (role: "queue" | "worker") => {
    const redis = connectRedis(redisQueueUrl, role, (error) => logger.warn({ role, reason: error.message }, "redis.error"));
    lifecycle.onClose(`redis (${role})`, () => redis.disconnect());
    return redis;
  };
  const queueRedis = connect("queue");
  const { appendOnly } = await assertQueueRedisSafe(queueRedis);
  if (!appendOnly) logger.warn("The queue Redis has no append-only file: accepted work is lost when it stops");

  const embedder = new LocalEmbedder({ modelPath: config.model.path, dtype: config.model.dtype, processes: 1 });
  lifecycle.onClose("embedder", () => embedder.close());
  const parser = new ParserPool({ size: 2, ...config.parse });
  lifecycle.onClose("parser", () => parser.close());
  const store = new MilvusVectorStore({
    address: milvusAddress,
    space: embedder.space,
    redis: queueRedis,
    ...(config.milvusToken === undefined ? {} : { token: config.milvusToken }),
  });
  lifecycle.onClose("vector store", () => store.close());
  const producer = new Producer(queueRedis);
  lifecycle.onClose("producer", () => producer.close());

  const deps: HandlerDeps = {
    ledger: new Ledger(queueRedis),
    blobs: new FileBlobStore(join(config.home, "blobs")),
    parser,
    embedder,
    store,
    producer,
    chunking: config.chunking,
    logger,
  };
  const documents = new Consumer({
    name: "documents",
    connection: connect("worker"),
    concurrency: config.workerConcurrency,
    logger,
    handle: (data, context) => handleDocumentJob(data, context, deps),
  });
  const maintenance = new Consumer({
    name: "maintenance",
    connection: connect("worker"),
    concurrency: 1,
    logger,
    handle: (data, context) => handleMaintenanceJob(data, context, deps),
  });
  lifecycle.onClose("consumers", async () => {
    await Promise.all([documents.close(drainMs), maintenance.close(drainMs)]);
  });
  documents.start();
  maintenance.start();
  logger.info({ concurrency: config.workerConcurrency, model: embedder.space.modelId }, "worker.started");
}
