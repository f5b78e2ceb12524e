import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getRequestListener } from "@hono/node-server";
import { AnswerCache, CacheRedis, QuestionCache } from "@millrace/cache";
import {
  chunkIdOf,
  contentHashOf,
  documentIdOf,
  HashEmbedder,
  type LanguageModel,
  MemoryVectorStore,
  type ProjectName,
  parseProjectName,
} from "@millrace/core";
import { ApiKeys, Ledger, type Scope } from "@millrace/ledger";
import { Producer } from "@millrace/queue";
import {
  connectRedis,
  createLogger,
  FileBlobStore,
  newApiKeyText,
  type PriceConfig,
  type QuotaConfig,
  type Redis,
} from "@millrace/runtime";
import { startRedis } from "@millrace/testing";
import { Admission } from "../src/admission.ts";
import { type AppDeps, createApp } from "../src/app.ts";
import { Sessions, type SessionsOptions } from "../src/ask/sessions.ts";
import { IdempotencyKeys } from "../src/idempotency.ts";
import { Quotas } from "../src/quota/quotas.ts";
import { RedisQuotaStore } from "../src/quota/redis-quota-store.ts";
import { createDirectSearch, searchPath } from "../src/search-endpoint.ts";
import { serialiseHits } from "../src/serialise-hits.ts";
import { UsageCounters } from "../src/usage/usage-counters.ts";

/** The whole HTTP service in this process, on a real socket: keys, ledger and caches are real, vectors come from hashes, rows lie in memory. */
export interface TestService {
  readonly url: string;
  readonly usage: UsageCounters;
  /** A new key of a project; without one an admin's. */
  newKey(project?: string, scopes?: readonly Scope[]): Promise<string>;
  /** Makes a document live that has one chunk per text. */
  put(project: string, source: string, ...texts: string[]): Promise<string>;
  /** Deletes a document. */
  remove(project: string, source: string): Promise<void>;
  readonly queueRedis: Redis;
  readonly cacheRedis: Redis;
  /** Freezes the cache Redis meanwhile. */
  withoutCache(action: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

export interface ServiceOptions {
  readonly languageModel?: LanguageModel;
  /** Parts that a test puts in the place of these. */
  readonly replace?: (parts: AppDeps) => Partial<AppDeps>;
  readonly quotas?: QuotaConfig;
  readonly price?: PriceConfig;
  readonly sessions?: SessionsOptions;
  readonly answerTtlSeconds?: number;
  /** Default: patient, since a busy machine must not turn hits into misses here. */
  readonly cacheTimeoutMs?: number;
  readonly similarityMin?: number;
  readonly reranker?: AppDeps["reranker"];
}

const dimension = 64;
const signal = new AbortController().signal;

export const noQuotas: QuotaConfig = {
  key: { requests: 0, tokens: 0, streams: 0, searches: 0 },
  project: { requests: 0, tokens: 0, streams: 0, searches: 0 },
};

export async function startService({
  languageModel,
  replace = () => ({}),
  quotas: quotaConfig = noQuotas,
  price,
  sessions = {},
  answerTtlSeconds = 600,
  cacheTimeoutMs = 5_000,
  similarityMin,
  reranker,
}: ServiceOptions = {}): Promise<TestService> {
  const servers = [await startRedis(), await startRedis()];
  const [queueRedis, cacheRedis] = [
    connectRedis(servers[0]?.url ?? "", "service", () => undefined),
    connectRedis(servers[1]?.url ?? "", "cache", () => undefined),
  ];
  await new Promise((resolve) => cacheRedis.once("ready", resolve));
  const home = await mkdtemp(join(tmpdir(), "millrace-service-"));
  const embedder = new HashEmbedder({ dimension });
  const store = new MemoryVectorStore(dimension);
  const ledger = new Ledger(queueRedis);
  const keys = new ApiKeys(queueRedis);
  const producer = new Producer(queueRedis);
  const logger = createLogger("test", "silent");
  const quotas = new Quotas(new RedisQuotaStore(queueRedis), quotaConfig, logger);
  const usage = new UsageCounters({ redis: queueRedis, retentionDays: 10, logger });
  const parts: AppDeps = {
    embedder,
    model: Object.assign(embedder, { countTokens: async (texts: readonly string[]) => texts.map(({ length }) => length) }),
    spaces: { of: async () => undefined },
    store,
    cache: new AnswerCache({ redis: new CacheRedis(cacheRedis), memoryBytesMax: 1_000_000, ttlSeconds: 60, emptyTtlSeconds: 60 }),
    admission: new Admission(),
    serialise: serialiseHits,
    keys,
    logger,
    ledger,
    documents: {
      ledger,
      producer,
      blobs: new FileBlobStore(home),
      idempotency: new IdempotencyKeys(queueRedis),
      fingerprint: "test",
      claimSpace: async () => undefined,
      documentBytesMax: 1_000_000,
      queueBytesMax: 1_000_000,
    },
    metrics: {
      contentType: "text/plain",
      render: async () => "",
      observeStep: () => undefined,
      countAnswer: () => undefined,
      startRequest: () => () => undefined,
    },
    probes: [],
    quotas,
    usage,
    price,
    questions: new QuestionCache({ redis: new CacheRedis(cacheRedis, { timeoutMs: cacheTimeoutMs }), ttlSeconds: answerTtlSeconds }),
    sessions: new Sessions(queueRedis, sessions),
    ...(languageModel === undefined ? {} : { languageModel }),
    ...(similarityMin === undefined ? {} : { similarityMin }),
    ...(reranker === undefined ? {} : { reranker }),
  };
  const deps = { ...parts, ...replace(parts) };
  const directSearch = createDirectSearch(deps);
  const others = getRequestListener(createApp(deps).fetch);
  const server = createServer((request, response) => {
    if (request.method === "POST" && request.url === searchPath) directSearch(request, response);
    else void others(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    usage,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async newKey(project, scopes = ["read"]) {
      const key = newApiKeyText();
      await keys.register(key, { scopes, label: "test", ...(project === undefined ? {} : { project: parseProjectName(project) }) });
      return key;
    },
    async put(name, source, ...texts) {
      const project: ProjectName = parseProjectName(name);
      const about = { contentHash: contentHashOf(Buffer.from(texts.join("\n"))), fingerprint: "test", mediaType: "text/markdown" } as const;
      const { documentId, generation } = await ledger.plan({ ...about, project, source, bytes: 1, origin: "test", ingestId: "test" });
      const ref = { project, documentId, generation };
      await ledger.begin(ref, "run");
      const vectors = await embedder.embed(texts, signal);
      let start = 0;
      const records = texts.map((text, ordinal) => {
        const span = { start, end: start + text.length };
        start = span.end + 1;
        return {
          ...{ ...ref, source, mediaType: about.mediaType, title: source, ingestedAt: 0, metadata: {} },
          chunkId: chunkIdOf(project, documentId, generation, ordinal),
          vector: vectors[ordinal] ?? new Float32Array(dimension),
          chunk: { ordinal, text, span, tokens: 20, headings: [] },
        };
      });
      await store.upsert(records, signal);
      await ledger.switchLive(ref, { chunks: texts.length, tokens: 20 * texts.length, title: source, metadata: {}, timings: {} });
      return documentId;
    },
    async remove(name, source) {
      const project = parseProjectName(name);
      await ledger.remove(project, documentIdOf(project, source));
    },
    queueRedis,
    cacheRedis,
    async withoutCache(action) {
      const pid = servers[1]?.pid ?? 0;
      process.kill(pid, "SIGSTOP");
      await action().finally(() => process.kill(pid, "SIGCONT"));
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      quotas.close();
      await usage.close();
      await producer.close();
      queueRedis.disconnect();
      cacheRedis.disconnect();
      for (const each of servers) await each.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}
