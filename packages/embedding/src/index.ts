export { availableCores } from "./cores.ts";
export { LocalEmbedder, type LocalEmbedderOptions } from "./local-embedder.ts";
export { embeddingSpaceOf, openEmbedder } from "./open-embedder.ts";
