import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ConfigError, limits } from "@millrace/core";
import { z } from "zod";
import { type EmbedderConfig, parseEmbedderConfig } from "./embedder-config.ts";

/**
 * The only reader of the environment. One schema, one `loadConfig(env)`, called once per entry point; the rest of the system
 * receives plain values. `.env.example` is tested against this schema.
 */
const port = z.coerce.number().int().min(0).max(65_535);
const quota = z.coerce.number().int().min(0);
const optionalText = z
  .string()
  .optional()
  .transform((value) => (value === undefined || value === "" ? undefined : value));

export const environmentSchema = z.object({
  MILLRACE_HOME: optionalText,
  MILLRACE_RUNTIME: optionalText,
  MILLRACE_PORT: port.default(7171),
  MILLRACE_DASHBOARD_PORT: port.default(7172),
  MILLRACE_HOST: z.string().min(1).default("127.0.0.1"),
  REDIS_QUEUE_URL: optionalText,
  REDIS_CACHE_URL: optionalText,
  MILVUS_ADDRESS: optionalText,
  MILVUS_TOKEN: optionalText,
  /** 0 lets the operating system choose a free port; the choice is kept in MILLRACE_HOME/run. */
  MILLRACE_REDIS_QUEUE_PORT: port.default(0),
  MILLRACE_REDIS_CACHE_PORT: port.default(0),
  MILLRACE_MILVUS_PORT: port.default(0),
  MILLRACE_CACHE_BYTES_MAX: z.coerce
    .number()
    .int()
    .min(1_048_576)
    .default(128 * 1024 * 1024),
  MILLRACE_MODEL: optionalText,
  MILLRACE_MODEL_DTYPE: z.enum(["fp32", "int8"]).default("int8"),
  /** JSON, or a file with it, that describes another embedder than the built-in model. */
  MILLRACE_EMBEDDER: optionalText,
  MILLRACE_EMBEDDER_KEY: optionalText,
  /** Folder of a cross-encoder that transformers.js can run. */
  MILLRACE_RERANKER: optionalText,
  MILLRACE_WORKERS: z.coerce.number().int().min(1).max(64).default(1),
  MILLRACE_WORKER_CONCURRENCY: z.coerce.number().int().min(1).max(256).default(16),
  /** How far parsing and embedding of documents give way to queries and everything else on the machine. */
  MILLRACE_WORKER_NICENESS: z.coerce.number().int().min(0).max(19).default(10),
  MILLRACE_DOCUMENT_BYTES_MAX: z.coerce.number().int().min(1).default(limits.documentBytesMax),
  MILLRACE_QUEUE_BYTES_MAX: z.coerce.number().int().min(1).default(limits.queueBytesMax),
  /** Seconds between audits of ledger against vector store; 0 = never. */
  MILLRACE_AUDIT_SECONDS: z.coerce.number().int().min(0).default(3_600),
  MILLRACE_PARSE_TIMEOUT_MS: z.coerce.number().int().min(100).default(limits.parseTimeoutMs),
  MILLRACE_PARSE_MEMORY_BYTES_MAX: z.coerce
    .number()
    .int()
    .min(64 * 1024 * 1024)
    .default(limits.parseMemoryBytesMax),
  MILLRACE_CHUNK_TOKENS_MAX: z.coerce.number().int().min(16).max(8_192).default(limits.chunkTokensMax),
  MILLRACE_CHUNK_TOKENS_OVERLAP: z.coerce.number().int().min(0).max(4_096).default(limits.chunkTokensOverlap),
  MILLRACE_SEARCH_CACHE_TTL_SECONDS: z.coerce.number().int().min(1).default(limits.searchCacheTtlSeconds),
  MILLRACE_ANSWER_CACHE_TTL_SECONDS: z.coerce.number().int().min(1).default(limits.answerCacheTtlSeconds),
  /** Unset: chosen for the built-in model, and off with another. 1: off. */
  MILLRACE_ANSWER_SIMILARITY_MIN: z.preprocess((value) => (value === "" ? undefined : value), z.coerce.number().min(0).max(1).optional()),
  MILLRACE_SESSION_TTL_SECONDS: z.coerce.number().int().min(1).default(limits.sessionTtlSeconds),
  /** Of a collector of OpenTelemetry, for the traces of questions. */
  OTEL_EXPORTER_OTLP_ENDPOINT: optionalText,
  LLM_BASE_URL: optionalText,
  LLM_MODEL: optionalText,
  LLM_FALLBACK_MODELS: optionalText,
  LLM_API_KEY: optionalText,
  LLM_CONTEXT_TOKENS: z.coerce.number().int().min(1_024).default(limits.llmContextTokensMax),
  LLM_ANSWER_TOKENS_MAX: z.coerce.number().int().min(16).default(limits.llmAnswerTokensMax),
  LLM_CONNECT_TIMEOUT_MS: z.coerce.number().int().min(10).default(limits.llmConnectTimeoutMs),
  LLM_FIRST_TOKEN_TIMEOUT_MS: z.coerce.number().int().min(10).default(limits.llmFirstTokenTimeoutMs),
  LLM_TOTAL_TIMEOUT_MS: z.coerce.number().int().min(10).default(limits.llmTotalTimeoutMs),
  /** Questions and their model's tokens in any minute, streams at a time; searches in any minute. 0: no quota. */
  MILLRACE_QUOTA_KEY_REQUESTS: quota.default(limits.quotaKey.requests),
  MILLRACE_QUOTA_KEY_TOKENS: quota.default(limits.quotaKey.tokens),
  MILLRACE_QUOTA_KEY_STREAMS: quota.default(limits.quotaKey.streams),
  MILLRACE_QUOTA_KEY_SEARCHES: quota.default(limits.quotaKey.searches),
  MILLRACE_QUOTA_PROJECT_REQUESTS: quota.default(limits.quotaProject.requests),
  MILLRACE_QUOTA_PROJECT_TOKENS: quota.default(limits.quotaProject.tokens),
  MILLRACE_QUOTA_PROJECT_STREAMS: quota.default(limits.quotaProject.streams),
  MILLRACE_QUOTA_PROJECT_SEARCHES: quota.default(limits.quotaProject.searches),
  MILLRACE_USAGE_DAYS: z.coerce.number().int().min(1).max(36_500).default(limits.usageRetentionDays),
  /** For estimates of costs, in whatever currency; 0 and 0: none are made. */
  LLM_PROMPT_PRICE_PER_MILLION: z.coerce.number().min(0).default(0),
  LLM_COMPLETION_PRICE_PER_MILLION: z.coerce.number().min(0).default(0),
  /** How old the content may be that an answer comes from while a newer one is computed; 0 = never old. */
  MILLRACE_SEARCH_STALE_SECONDS: z.coerce.number().int().min(0).max(3_600).default(0),
  /** Of the searches, so many are answered exactly as well, to tell the recall of the index; 0 = none. */
  MILLRACE_RECALL_SHARE: z.coerce.number().min(0).max(1).default(0.01),
  MILLRACE_LOG_LEVEL: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
});

interface LlmConfig {
  readonly baseUrl: string;
  readonly apiKey: string | undefined;
  /** In order of preference. */
  readonly models: readonly string[];
  readonly contextTokensMax: number;
  readonly answerTokensMax: number;
  readonly connectTimeoutMs: number;
  readonly firstTokenTimeoutMs: number;
  readonly totalTimeoutMs: number;
}

/** Of tokens. */
export interface PriceConfig {
  readonly promptPerMillion: number;
  readonly completionPerMillion: number;
}

interface QuotaAmounts {
  /** Questions in any minute. */
  readonly requests: number;
  /** Tokens of the language model in any minute. */
  readonly tokens: number;
  /** Answers that are being streamed at a time. */
  readonly streams: number;
  /** Searches in any minute. */
  readonly searches: number;
}

/** 0: no quota. */
export interface QuotaConfig {
  readonly key: QuotaAmounts;
  readonly project: QuotaAmounts;
}

export interface Config {
  /** Data, sockets, keys and logs of this installation. */
  readonly home: string;
  /** The private Python environment and the built models; several homes may share one. */
  readonly runtime: string;
  readonly host: string;
  readonly port: number;
  readonly dashboardPort: number;
  /** Unset: the embedded stack provides it. */
  readonly redisQueueUrl: string | undefined;
  readonly redisCacheUrl: string | undefined;
  readonly milvusAddress: string | undefined;
  readonly milvusToken: string | undefined;
  readonly embedded: {
    readonly redisQueuePort: number;
    readonly redisCachePort: number;
    readonly milvusPort: number;
    readonly cacheBytesMax: number;
  };
  readonly model: { readonly path: string; readonly dtype: "fp32" | "int8" };
  /** Undefined: the built-in model. */
  readonly embedder: EmbedderConfig | undefined;
  readonly embedderKey: string | undefined;
  /** Absolute path. Undefined: searches cannot be reranked. */
  readonly reranker: string | undefined;
  readonly workers: number;
  readonly workerConcurrency: number;
  readonly workerNiceness: number;
  readonly documentBytesMax: number;
  readonly queueBytesMax: number;
  readonly auditSeconds: number;
  readonly parse: { readonly timeoutMs: number; readonly memoryBytesMax: number };
  readonly chunking: { readonly tokensMax: number; readonly tokensOverlap: number; readonly tokensMin: number };
  readonly searchCacheTtlSeconds: number;
  readonly answerCacheTtlSeconds: number;
  /** Undefined: only the same words are the same question. */
  readonly answerSimilarityMin: number | undefined;
  readonly sessionTtlSeconds: number;
  /** Undefined: answers are extractive. */
  readonly llm: LlmConfig | undefined;
  readonly quotas: QuotaConfig;
  /** Undefined: traces go nowhere. */
  readonly otlpEndpoint: string | undefined;
  readonly usageDays: number;
  /** Undefined: costs are not estimated. */
  readonly price: PriceConfig | undefined;
  readonly searchStaleSeconds: number;
  readonly recallShare: number;
  readonly logLevel: "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";
}

/** @throws ConfigError `config.invalid` naming every wrong variable at once */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const parsed = environmentSchema.safeParse(env);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new ConfigError("config.invalid", `Wrong configuration:\n  ${problems.join("\n  ")}`, {
      hint: "See .env.example for every variable and its default.",
    });
  }
  const e = parsed.data;
  const home = resolve(e.MILLRACE_HOME ?? join(homedir(), ".millrace"));
  const runtime = resolve(e.MILLRACE_RUNTIME ?? join(home, "runtime"));
  if (e.MILLRACE_CHUNK_TOKENS_OVERLAP * 2 > e.MILLRACE_CHUNK_TOKENS_MAX) {
    throw new ConfigError("config.invalid", "MILLRACE_CHUNK_TOKENS_OVERLAP is more than half of MILLRACE_CHUNK_TOKENS_MAX");
  }
  return {
    home,
    runtime,
    host: e.MILLRACE_HOST,
    port: e.MILLRACE_PORT,
    dashboardPort: e.MILLRACE_DASHBOARD_PORT,
    redisQueueUrl: e.REDIS_QUEUE_URL,
    redisCacheUrl: e.REDIS_CACHE_URL,
    milvusAddress: e.MILVUS_ADDRESS,
    milvusToken: e.MILVUS_TOKEN,
    embedded: {
      redisQueuePort: e.MILLRACE_REDIS_QUEUE_PORT,
      redisCachePort: e.MILLRACE_REDIS_CACHE_PORT,
      milvusPort: e.MILLRACE_MILVUS_PORT,
      cacheBytesMax: e.MILLRACE_CACHE_BYTES_MAX,
    },
    model: { path: e.MILLRACE_MODEL ?? join(runtime, "models", "all-MiniLM-L6-v2"), dtype: e.MILLRACE_MODEL_DTYPE },
    embedder: e.MILLRACE_EMBEDDER === undefined ? undefined : parseEmbedderConfig(e.MILLRACE_EMBEDDER),
    embedderKey: e.MILLRACE_EMBEDDER_KEY,
    reranker: e.MILLRACE_RERANKER === undefined ? undefined : resolve(e.MILLRACE_RERANKER),
    workers: e.MILLRACE_WORKERS,
    workerConcurrency: e.MILLRACE_WORKER_CONCURRENCY,
    workerNiceness: e.MILLRACE_WORKER_NICENESS,
    documentBytesMax: e.MILLRACE_DOCUMENT_BYTES_MAX,
    queueBytesMax: e.MILLRACE_QUEUE_BYTES_MAX,
    auditSeconds: e.MILLRACE_AUDIT_SECONDS,
    parse: { timeoutMs: e.MILLRACE_PARSE_TIMEOUT_MS, memoryBytesMax: e.MILLRACE_PARSE_MEMORY_BYTES_MAX },
    chunking: {
      tokensMax: e.MILLRACE_CHUNK_TOKENS_MAX,
      tokensOverlap: e.MILLRACE_CHUNK_TOKENS_OVERLAP,
      tokensMin: Math.min(limits.chunkTokensMin, Math.floor(e.MILLRACE_CHUNK_TOKENS_MAX / 4)),
    },
    searchCacheTtlSeconds: e.MILLRACE_SEARCH_CACHE_TTL_SECONDS,
    answerSimilarityMin: similarityMinOf(e),
    answerCacheTtlSeconds: e.MILLRACE_ANSWER_CACHE_TTL_SECONDS,
    sessionTtlSeconds: e.MILLRACE_SESSION_TTL_SECONDS,
    llm: llmOf(e),
    quotas: quotasOf(e),
    otlpEndpoint: otlpEndpointOf(e),
    usageDays: e.MILLRACE_USAGE_DAYS,
    price: priceOf(e),
    searchStaleSeconds: e.MILLRACE_SEARCH_STALE_SECONDS,
    recallShare: e.MILLRACE_RECALL_SHARE,
    logLevel: e.MILLRACE_LOG_LEVEL,
  };
}

function priceOf({
  LLM_PROMPT_PRICE_PER_MILLION: promptPerMillion,
  LLM_COMPLETION_PRICE_PER_MILLION: completionPerMillion,
}: z.infer<typeof environmentSchema>): PriceConfig | undefined {
  return promptPerMillion + completionPerMillion === 0 ? undefined : { promptPerMillion, completionPerMillion };
}

/** @throws ConfigError `config.invalid` where a quota could never be met */
function quotasOf(e: z.infer<typeof environmentSchema>): QuotaConfig {
  for (const name of ["MILLRACE_QUOTA_KEY_TOKENS", "MILLRACE_QUOTA_PROJECT_TOKENS"] as const) {
    if (e.LLM_MODEL !== undefined && e[name] > 0 && e[name] < e.LLM_CONTEXT_TOKENS) {
      throw new ConfigError("config.invalid", `${name} is less than one question may need (LLM_CONTEXT_TOKENS)`);
    }
  }
  return {
    key: {
      requests: e.MILLRACE_QUOTA_KEY_REQUESTS,
      tokens: e.MILLRACE_QUOTA_KEY_TOKENS,
      streams: e.MILLRACE_QUOTA_KEY_STREAMS,
      searches: e.MILLRACE_QUOTA_KEY_SEARCHES,
    },
    project: {
      requests: e.MILLRACE_QUOTA_PROJECT_REQUESTS,
      tokens: e.MILLRACE_QUOTA_PROJECT_TOKENS,
      streams: e.MILLRACE_QUOTA_PROJECT_STREAMS,
      searches: e.MILLRACE_QUOTA_PROJECT_SEARCHES,
    },
  };
}

/** What near means differs from model to model. */
function similarityMinOf(e: z.infer<typeof environmentSchema>): number | undefined {
  const isBuiltIn = e.MILLRACE_EMBEDDER === undefined && e.MILLRACE_MODEL === undefined;
  const floor = e.MILLRACE_ANSWER_SIMILARITY_MIN ?? (isBuiltIn ? limits.answerSimilarityMin : 1);
  return floor < 1 ? floor : undefined;
}

/** @throws ConfigError `config.invalid` */
function otlpEndpointOf({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }: z.infer<typeof environmentSchema>): string | undefined {
  if (endpoint === undefined || (/^https?:\/\//.test(endpoint) && URL.canParse(endpoint))) return endpoint;
  throw new ConfigError("config.invalid", "OTEL_EXPORTER_OTLP_ENDPOINT is no http or https URL", {
    hint: "For example http://127.0.0.1:4318; traces go to /v1/traces below it.",
  });
}

function llmOf(e: z.infer<typeof environmentSchema>): LlmConfig | undefined {
  const { LLM_BASE_URL: baseUrl, LLM_MODEL: model } = e;
  if (baseUrl === undefined && model === undefined) return undefined;
  if (baseUrl === undefined || model === undefined || !/^https?:\/\//.test(baseUrl) || !URL.canParse(baseUrl)) {
    throw new ConfigError("config.invalid", "LLM_BASE_URL (an http or https URL) and LLM_MODEL belong together", {
      hint: "For example LLM_BASE_URL=http://127.0.0.1:11434/v1 and LLM_MODEL=llama3.2.",
    });
  }
  if (e.LLM_ANSWER_TOKENS_MAX * 2 > e.LLM_CONTEXT_TOKENS) {
    throw new ConfigError("config.invalid", "LLM_ANSWER_TOKENS_MAX is more than half of LLM_CONTEXT_TOKENS");
  }
  const fallbacks = (e.LLM_FALLBACK_MODELS ?? "").split(",").map((name) => name.trim());
  return {
    baseUrl,
    apiKey: e.LLM_API_KEY,
    models: [model, ...fallbacks.filter((name) => name !== "")],
    contextTokensMax: e.LLM_CONTEXT_TOKENS,
    answerTokensMax: e.LLM_ANSWER_TOKENS_MAX,
    connectTimeoutMs: e.LLM_CONNECT_TIMEOUT_MS,
    firstTokenTimeoutMs: e.LLM_FIRST_TOKEN_TIMEOUT_MS,
    totalTimeoutMs: e.LLM_TOTAL_TIMEOUT_MS,
  };
}

/** The environment of this process with some variables set, for a process that it starts. */
export function environmentWith(variables: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...process.env, ...variables };
}
