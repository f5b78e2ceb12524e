export { AnswerCache, type AnswerCacheCounts, type AnswerCacheOptions } from "./answer-cache.ts";
export { type BreakerState, CacheRedis } from "./cache-redis.ts";
export { CachedQueryEmbedder, type CachedQueryEmbedderOptions, type VectorCacheCounts } from "./cached-query-embedder.ts";
export { MemoryCache, type MemoryCacheOptions } from "./memory-cache.ts";
export { QuestionCache, type QuestionCacheOptions } from "./question-cache.ts";
export { type Flight, type FlightCounts, type FlightRole, SingleFlight, type SingleFlightOptions } from "./single-flight.ts";
