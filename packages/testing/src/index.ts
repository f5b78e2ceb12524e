export { describeBlobStore } from "./blob-store-conformance.ts";
export { describeEmbedder, type EmbedderConformanceOptions } from "./embedder-conformance.ts";
export { type FaultMode, type FaultProxy, startFaultProxy } from "./fault-proxy.ts";
export { makeOverlapReranker } from "./overlap-reranker.ts";
export {
  breaksAfter,
  type LlmRequest,
  type LlmScript,
  llmChunk,
  llmScripts,
  refuses,
  type ScriptedLlm,
  says,
  sends,
  startScriptedLlm,
} from "./scripted-llm.ts";
export { seeded } from "./seeded.ts";
export {
  freePort,
  startMilvusLite,
  startMilvusStandIn,
  startRedis,
  type TestMilvusLite,
  type TestRedis,
  type TestServer,
} from "./servers.ts";
export { describeVectorStore } from "./vector-store-conformance.ts";
