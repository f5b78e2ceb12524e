import { createServer } from "node:http";
import { join } from "node:path";
import { getRequestListener } from "@hono/node-server";
import { AnswerCache, CachedQueryEmbedder, CacheRedis, QuestionCache } from "@millrace/cache";
import { ConfigError, errorMessage, isMillraceError, limits } from "@millrace/core";
import { BatchingEmbedder, computeProcessesMax, openEmbedder, TransformersReranker } from "@millrace/embedding";
import { ApiKeys, EmbeddingSpaces, Ledger } from "@millrace/ledger";
import { Producer } from "@millrace/queue";
import {
  connectRedis,
  createLogger,
  exitOnSignal,
  FileBlobStore,
  Lifecycle,
  loadConfig,
  loadOrCreateAdminKey,
  pipelineFingerprint,
} from "@millrace/runtime";
import { MilvusVectorStore } from "@millrace/vector-store";
import { Admission } from "./admission.ts";
import { type AppDeps, createApp } from "./app.ts";
import { Sessions } from "./ask/sessions.ts";
import { IdempotencyKeys } from "./idempotency.ts";
import { ServedLanguageModel } from "./llm/language-model.ts";
import { createMetrics } from "./metrics.ts";
import { Quotas } from "./quota/quotas.ts";
import { RedisQuotaStore } from "./quota/redis-quota-store.ts";
import { RecallSampler } from "./recall-sampler.ts";
import { createDirectSearch, searchPath } from "./search-endpoint.ts";
import { serialiseHits } from "./serialise-hits.ts";
import { OtlpExporter } from "./tracing/otlp-exporter.ts";
import { UsageCounters } from "./usage/usage-counters.ts";

const config = loadConfig();
const logger = createLogger("query", config.logLevel);
const lifecycle = new Lifecycle(logger);

try {
  await start();
  process.send?.({ type: "ready", port: config.port });
} catch (error) {
  const known = isMillraceError(error) ? error : undefined;
  logger.fatal({ code: known?.code, reason: errorMessage(error), hint: known?.hint }, "query.start_failed");
  await lifecycle.close();
  process.exit(error instanceof ConfigError ? 2 : 1);
}

async function start(): Promise<void> {
  exitOnSignal(lifecycle, logger);
  const { redisQueueUrl, redisCacheUrl, milvusAddress } = config;
  if (redisQueueUrl === undefined || redisCacheUrl === undefined || milvusAddress === undefined) {
    throw new ConfigError("config.incomplete", "The query service needs REDIS_QUEUE_URL, REDIS_CACHE_URL and MILVUS_ADDRESS", {
      hint: "`millrace up` starts it with all of them.",
    });
  }
  const connect = (url: string, role: "service" | "cache") => {
    const redis = connectRedis(url, role, (error) => logger.warn({ role, reason: error.message }, "redis.error"));
    lifecycle.onClose(`redis (${role})`, () => redis.disconnect());
    return redis;
  };
  const queueRedis = connect(redisQueueUrl, "service");
  const keys = new ApiKeys(queueRedis);
  await keys.register(await loadOrCreateAdminKey(config.home), { scopes: ["read", "ingest"], label: "admin.key" });

  const model = openEmbedder(config);
  lifecycle.onClose("embedder", () => model.close());
  const cacheRedis = connect(redisCacheUrl, "cache");
  const reranker =
    config.reranker === undefined ? undefined : new TransformersReranker({ folder: config.reranker, threads: computeProcessesMax() });
  if (reranker !== undefined) lifecycle.onClose("reranker", () => reranker.close());
  const cache = new CacheRedis(cacheRedis);
  const batchingEmbedder = new BatchingEmbedder(model);
  const embedder = new CachedQueryEmbedder(batchingEmbedder, {
    redis: cache,
    memoryBytesMax: limits.queryVectorMemoryBytesMax,
    ttlSeconds: limits.queryVectorTtlSeconds,
  });
  const store = new MilvusVectorStore({
    address: milvusAddress,
    space: embedder.space,
    redis: queueRedis,
    isMoreComing: () => batchingEmbedder.isBusy,
    onSearch: (request, hits) => void recall.observe(request, hits),
    ...(config.milvusToken === undefined ? {} : { token: config.milvusToken }),
  });
  lifecycle.onClose("vector store", () => store.close());
  const answers = new AnswerCache({
    redis: cache,
    memoryBytesMax: limits.searchCacheMemoryBytesMax,
    ttlSeconds: config.searchCacheTtlSeconds,
    emptyTtlSeconds: Math.min(limits.searchCacheEmptyTtlSeconds, config.searchCacheTtlSeconds),
    staleSeconds: config.searchStaleSeconds,
  });
  const ledger = new Ledger(queueRedis);
  const recall = new RecallSampler({ ledger, store, logger, share: config.recallShare });
  const producer = new Producer(queueRedis);
  lifecycle.onClose("producer", () => producer.close());
  const spaces = new EmbeddingSpaces(queueRedis);
  const admission = new Admission();
  const quotas = new Quotas(new RedisQuotaStore(queueRedis), config.quotas, logger);
  lifecycle.onClose("quotas", () => quotas.close());
  const usage = new UsageCounters({ redis: queueRedis, retentionDays: config.usageDays, logger });
  lifecycle.onClose("usage", () => usage.close());
  const languageModel = config.llm === undefined ? undefined : new ServedLanguageModel({ ...config.llm, logger });
  if (languageModel !== undefined) lifecycle.onClose("language model", () => languageModel.close());
  const spans = config.otlpEndpoint === undefined ? undefined : new OtlpExporter({ endpoint: config.otlpEndpoint, logger });
  if (spans !== undefined) lifecycle.onClose("traces", () => spans.close());
  const sessions = new Sessions(queueRedis, { ttlSeconds: config.sessionTtlSeconds });
  const questions = new QuestionCache({
    redis: new CacheRedis(cacheRedis, { timeoutMs: limits.answerCacheTimeoutMs }),
    ttlSeconds: config.answerCacheTtlSeconds,
  });
  const deps: AppDeps = {
    embedder,
    model,
    ...(reranker === undefined ? {} : { reranker }),
    spaces,
    store,
    cache: answers,
    admission,
    serialise: serialiseHits,
    quotas,
    usage,
    price: config.price,
    ...(languageModel === undefined ? {} : { languageModel }),
    ...(spans === undefined ? {} : { spans }),
    sessions,
    questions,
    ...(config.answerSimilarityMin === undefined ? {} : { similarityMin: config.answerSimilarityMin }),
    keys,
    logger,
    ledger,
    ...(config.searchStaleSeconds === 0 ? {} : { deletions: (project) => ledger.deletions(project) }),
    documents: {
      ledger,
      producer,
      blobs: new FileBlobStore(join(config.home, "blobs")),
      idempotency: new IdempotencyKeys(queueRedis),
      fingerprint: pipelineFingerprint(config, embedder.space),
      claimSpace: (project) => spaces.claim(project, embedder.space),
      documentBytesMax: config.documentBytesMax,
      queueBytesMax: config.queueBytesMax,
    },
    metrics: createMetrics({
      answers,
      embedder,
      cache,
      embedding: batchingEmbedder,
      store,
      admission,
      quotas,
      sessions,
      questions,
      recall,
    }),
    probes: [
      { name: "queue redis", optional: false, check: () => queueRedis.ping() },
      { name: "milvus", optional: false, check: (signal) => store.ready(signal) },
      { name: "embedder", optional: false, check: (signal) => model.embed(["ready"], signal) },
      { name: "cache redis", optional: true, check: () => cache.ping() },
    ],
  };
  // Both may be away for now: requests answer 503 until they are back, and the model is warm when they are.
  store.start(AbortSignal.timeout(10_000)).catch((error: unknown) => logger.warn({ reason: errorMessage(error) }, "store.not_ready"));
  await Promise.all([model.start(AbortSignal.timeout(60_000)), reranker?.start(AbortSignal.timeout(60_000))]);

  await new Promise<void>((resolve, reject) => {
    const directSearch = createDirectSearch(deps);
    const others = getRequestListener(createApp(deps).fetch);
    const server = createServer((request, response) => {
      if (request.method === "POST" && request.url === searchPath) directSearch(request, response);
      else void others(request, response);
    });
    server.listen(config.port, config.host, () => resolve());
    server.once("error", (error: NodeJS.ErrnoException) => {
      const { host, port } = config;
      reject(
        error.code === "EADDRINUSE"
          ? new ConfigError("query.port_in_use", `Port ${port} on ${host} is taken`, { hint: "Set MILLRACE_PORT to a free one." })
          : new ConfigError("query.cannot_listen", `Cannot listen on ${host}:${port}: ${error.message}`),
      );
    });
    lifecycle.onClose(
      "http",
      () =>
        new Promise<void>((closed) => {
          server.close(() => closed());
          server.closeIdleConnections();
        }),
    );
  });
  logger.info({ host: config.host, port: config.port }, "query.started");
}
