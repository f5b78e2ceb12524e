export { analysisVersion, queryTermsOf, type Term, termsOf } from "./analysis.ts";
export type { Answer, AskEvent, AskStep, SourceSummary } from "./ask/answer.ts";
export type { Citation } from "./ask/answer-filter.ts";
export { type AskDeps, type Asked, type AskRequest, ask, parseAskRequest, parseSessionId } from "./ask/ask.ts";
export type { AnswerKeeper, CacheResult, EarlierQuestion, StoredAnswer } from "./ask/cached-answer.ts";
export { type Generation, type GenerationRequest, type LanguageModel, noTokens, type Usage } from "./ask/language-model.ts";
export type { ChatMessage } from "./ask/prompt.ts";
export { differencesOf } from "./ask/same-question.ts";
export type { AnswerSource } from "./ask/source.ts";
export { estimateTokens } from "./ask/tokens.ts";
export { type PendingLoad, queuedBytes } from "./backpressure.ts";
export { bm25Parameters } from "./bm25.ts";
export { normaliseQuery, searchCacheKey } from "./cache-key.ts";
export { type ChunkingOptions, chunkDocument } from "./chunk.ts";
export { embeddedText, headerFor } from "./chunk-header.ts";
export { copied } from "./copied.ts";
export { sha256Of } from "./digest.ts";
export type { Block, BlockKind, Chunk, ChunkRecord, Metadata, MetadataValue, ParsedDocument, Span } from "./document.ts";
export { dot } from "./dot.ts";
export { type SpaceIdentity, sameSpace, spaceMismatch } from "./embedding-space.ts";
export {
  ConfigError,
  DependencyError,
  DocumentError,
  errorMessage,
  InvalidInputError,
  isMillraceError,
  MillraceError,
  type MillraceErrorOptions,
} from "./errors.ts";
export { type HitContext, mergeTexts } from "./expand.ts";
export { type Filter, type FilterableChunk, type FilterValue, matchesFilter, parseFilter } from "./filter.ts";
export { chunkIdOf, chunkIdsOf, contentHashOf, documentIdOf, pipelineFingerprintOf } from "./identity.ts";
export { limits } from "./limits.ts";
export { knownExtensions, type MediaType, mediaTypeOf, mediaTypeOfMime, mediaTypes } from "./media-type.ts";
export { fingerprintWith, parseMetadata } from "./metadata.ts";
export type {
  BlobStore,
  Embedder,
  EmbeddingSpace,
  EmbedPurpose,
  RowIdentity,
  RowVector,
  StoredHit,
  StoreKeywordSearch,
  StoreSearch,
  TokenCounter,
  VectorStore,
} from "./ports.ts";
export { type ProjectName, parseProjectName } from "./project.ts";
export { type CachedAnswer, type SearchAnswer, type SearchDeps, search } from "./query.ts";
export { type Fusion, type FusionWeights, fusions, type RankedHit, type Standing } from "./rank.ts";
export { HashEmbedder } from "./reference/hash-embedder.ts";
export { MemoryBlobStore } from "./reference/memory-blob-store.ts";
export { MemoryVectorStore } from "./reference/memory-vector-store.ts";
export { type Reranker, rerankerFor } from "./rerank.ts";
export { type RetrieveDeps, retrieve, type SearchHit } from "./retrieve.ts";
export { rerankedScale, type SearchMode, scoreScales, searchModes } from "./search-mode.ts";
export { parseSearchRequest, type SearchRequest } from "./search-request.ts";
export { checkVector, indexedTerms, type StoredChunk, toStoredChunk } from "./stored-chunk.ts";
