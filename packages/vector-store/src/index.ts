export { defaultIndexSettings, type IndexSettings, searchParametersOf, tunedLimit } from "./index-settings.ts";
export { type SweepPoint, sweepIndexes } from "./index-sweep.ts";
export type { MilvusAddress } from "./milvus-client.ts";
export { MilvusVectorStore, type MilvusVectorStoreOptions } from "./milvus-vector-store.ts";
export { openLane, RedisWriterLane, type RedisWriterLaneOptions, type WriterLane } from "./writer-lane.ts";
