import { digestOfParts } from "./digest.ts";
import type { ProjectName } from "./project.ts";
import type { SearchRequest } from "./search-request.ts";

/** Raise it when the same request over the same content has another answer, or the answer another form. */
const answerVersion = 2;

/**
 * Everything that an answer depends on, hashed: the whole request, so that no field of it can be forgotten. The project is in the clear as well, so that
 * entries can be told apart.
 *
 * @param modelFingerprint of the models that the answer comes from
 * @param epoch read before the search, never after: an answer computed from older content must not be found under a newer epoch
 */
export function searchCacheKey(request: SearchRequest, epoch: string, modelFingerprint: string): string {
  // `parseSearchRequest` writes equal requests with their fields in one order, whatever order the caller's had.
  const parts = [String(answerVersion), epoch, modelFingerprint, JSON.stringify(request)];
  return `millrace:search:${request.project}:${digestOfParts(40, parts)}`;
}

/** What beside the question and the content decides how a question is answered. */
export interface AnswerSetting {
  /** What the caller's key may do. */
  readonly keyScope: string;
  readonly modelFingerprint: string;
  readonly promptVersion: number;
  readonly spaceFingerprint: string;
  /** Of the reranker that put the sources in order; null where none did. */
  readonly rerankerFingerprint: string | null;
  /** What was said before the question. */
  readonly conversation: readonly { readonly role: string; readonly content: string }[];
  readonly answerTokensMax: number | null;
}

/** Questions whose answers may stand for each other: all but the question itself, of the request and of the setting. */
export function answerPartition({ query: _, ...retrieval }: SearchRequest, setting: AnswerSetting): string {
  return digestOfParts(40, [String(answerVersion), canonicalJson(retrieval), canonicalJson(setting)]);
}

/** Under which the answer to a question is kept; not by epoch, since an answer knows its own evidence. */
export function answerKey(project: ProjectName, partition: string, question: string): string {
  return `millrace:answer:${project}:${digestOfParts(40, [partition, question])}`;
}

/** Under which the questions are kept that were answered from the same evidence. */
export function evidenceKey(project: ProjectName, partition: string, evidence: string): string {
  return `millrace:evidence:${project}:${digestOfParts(40, [partition, evidence])}`;
}

/** Two spellings of a query that mean the same to the model share an answer: Unicode form and white space. */
export function normaliseQuery(query: string): string {
  return query.normalize("NFC").replace(/\s+/g, " ").trim();
}

/** JSON with sorted keys, so that the order in which a caller wrote a filter's fields does not matter. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}
