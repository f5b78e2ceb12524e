export { BatchingEmbedder } from "./batching-embedder.ts";
export { computeProcessesMax } from "./cores.ts";
export { LocalEmbedder, type LocalEmbedderOptions } from "./local-embedder.ts";
export { embeddingSpaceOf, type OpenEmbedder, type OpenEmbedderOptions, openEmbedder } from "./open-embedder.ts";
export { TransformersReranker, type TransformersRerankerOptions } from "./transformers-reranker.ts";
