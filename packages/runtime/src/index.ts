export { loadOrCreateAdminKey, newApiKeyText } from "./admin-key.ts";
export { ChildPool, type ChildPoolOptions, type ChildRequestOptions, serveChildRequests } from "./child-pool.ts";
export { type Config, environmentSchema, environmentWith, loadConfig } from "./config.ts";
export type { EmbedderConfig, OpenAiConfig, TransformersConfig } from "./embedder-config.ts";
export { FileBlobStore } from "./file-blob-store.ts";
export { type Closer, exitOnSignal, Lifecycle } from "./lifecycle.ts";
export { createLogger, type Logger } from "./logger.ts";
export { pipelineFingerprint } from "./pipeline.ts";
export { assertQueueRedisSafe, connectRedis, type Redis, type RedisRole, readRedisSafety } from "./redis.ts";
