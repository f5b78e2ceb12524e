export { MilvusVectorStore, type MilvusVectorStoreOptions } from "./milvus-vector-store.ts";
export { openLane, RedisWriterLane, type RedisWriterLaneOptions, type WriterLane } from "./writer-lane.ts";
