export { ApiKeys, type KeyDescription, type Principal, type Scope } from "./api-keys.ts";
export { type DocumentEntry, type DocumentFailure, type DocumentState, documentStates, settledStates } from "./document-entry.ts";
export {
  type GarbageEntry,
  type GenerationRef,
  Ledger,
  type LedgerEvent,
  type ListRequest,
  type LiveVersion,
  type PlanRequest,
  type PlanResult,
  type RejectRequest,
} from "./ledger.ts";
