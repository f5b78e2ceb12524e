export { ApiKeys, type KeyDescription, type Principal, type Scope } from "./api-keys.ts";
export {
  type DocumentEntry,
  type DocumentFailure,
  type DocumentState,
  documentStates,
  openStates,
  settledStates,
} from "./document-entry.ts";
export { documentJson } from "./document-json.ts";
export { EmbeddingSpaces } from "./embedding-spaces.ts";
export {
  type FailOptions,
  type GarbageEntry,
  type GenerationRef,
  Ledger,
  type LedgerEvent,
  type ListRequest,
  type LiveTwin,
  type LiveVersion,
  type Load,
  type PlanRequest,
  type PlanResult,
  type RejectRequest,
} from "./ledger.ts";
export {
  type DocumentReference,
  type Finding,
  type FindingKind,
  Reconciler,
  type ReconcilerDeps,
  type RedriveCursor,
} from "./reconciler.ts";
