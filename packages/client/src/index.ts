export { ApiError, type Problem } from "./api-error.ts";
export type { Answer, AnswerSource, AskEvent, AskRequest, Citation } from "./ask.ts";
export { MillraceClient } from "./client.ts";
export type {
  Chunk,
  ChunkPage,
  DeletedDocument,
  Document,
  DocumentPage,
  DocumentQuery,
  DocumentState,
  IngestEvent,
  Upload,
  UploadReply,
} from "./documents.ts";
export type { EmbeddingList, EmbeddingRequest } from "./embeddings.ts";
export { isServiceReady } from "./ready.ts";
export type { SearchHit, SearchRequest, SearchResults, Standing } from "./search.ts";
export type { DeletedSession, Session, SessionList } from "./sessions.ts";
export type { CallOptions, ClientOptions } from "./transport.ts";
export type { Usage, UsageAmounts, UsageQuery } from "./usage.ts";
