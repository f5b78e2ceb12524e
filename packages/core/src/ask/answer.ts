import { randomBytes } from "node:crypto";
import { isMillraceError, type MillraceError } from "../errors.ts";
import type { EmbedPurpose } from "../ports.ts";
import type { SearchRequest } from "../search-request.ts";
import { AnswerFilter, type Citation, type FilteredText } from "./answer-filter.ts";
import { extractAnswer } from "./extractive.ts";
import { type LanguageModel, noTokens, type Usage } from "./language-model.ts";
import { buildPrompt, type ChatMessage } from "./prompt.ts";
import type { AnswerSource } from "./source.ts";

/** A question as it is searched for and put to a model. */
export interface Question {
  readonly search: SearchRequest;
  /** What was said before it, as much as the model's window has room for. */
  readonly conversation: readonly ChatMessage[];
  /** Of the answer, where it should be shorter than the model's own limit. */
  readonly answerTokensMax: number | undefined;
}

/** What happens while an answer is made, in this order: its sources, then text and the citations in it. */
export type AskEvent =
  | { readonly type: "sources"; readonly sources: readonly SourceSummary[] }
  | { readonly type: "delta"; readonly text: string }
  | { readonly type: "citation"; readonly citation: Citation }
  /** The model failed after a word: who has read it cannot take it back. For all others an answer still comes. */
  | { readonly type: "broken"; readonly error: MillraceError };

/** A source without its text, as a reader is told of it. */
export type SourceSummary = Omit<AnswerSource, "text">;

export interface Answer {
  readonly answer: string;
  readonly citations: readonly Citation[];
  /** `extractive`: sentences of the sources, verbatim, since no language model answered. */
  readonly mode: "generated" | "extractive";
  /** Why it is extractive. */
  readonly reason: "llm_unset" | "llm_unavailable" | "nothing_found" | undefined;
  /** The model stopped at its limit: the answer is not whole. */
  readonly truncated: boolean;
  readonly model: string | undefined;
  readonly usage: Usage;
  /** Whether nothing had to be taken out of what the model said, and it cites a source. */
  readonly clean: boolean;
}

export interface AnswerDeps {
  /** Undefined: none is configured, and answers are extractive. */
  readonly model: LanguageModel | undefined;
  readonly embed: (texts: readonly string[], purpose: EmbedPurpose, signal: AbortSignal) => Promise<readonly Float32Array[]>;
  /** Runs a step; here its time is taken. */
  readonly step: <T>(name: AskStep, action: () => Promise<T>) => Promise<T>;
}

/** `wait`: until it is one's turn to make the answer, or another one who asked the same has made it. */
export type AskStep = "rewrite" | "cache" | "wait" | "retrieve" | "generate" | "extract";

/**
 * The answer to a question from its sources: generated, checked while it streams; extracted where there is no model, or it fails. What an extraction says
 * after `broken` is for those who have read nothing of what was generated.
 * @throws DependencyError where the extraction fails; the signal's reason
 */
export async function answerFrom(
  question: Question,
  sources: readonly AnswerSource[],
  deps: AnswerDeps,
  emit: (event: AskEvent) => void,
  signal: AbortSignal,
): Promise<Answer> {
  const { model } = deps;
  emit({ type: "sources", sources: sources.map(withoutText) });
  const extract = (reason: "llm_unset" | "llm_unavailable"): Promise<Answer> =>
    deps.step("extract", () => extractive(question.search.query, sources, reason, deps, emit, signal));
  if (sources.length === 0 || model === undefined) return extract("llm_unset");

  const filter = new AnswerFilter(sources, randomBytes(8).toString("hex"));
  try {
    return await deps.step("generate", () => generated(question, sources, model, filter, emit, signal));
  } catch (error) {
    signal.throwIfAborted();
    if (!isMillraceError(error)) throw error;
    if (filter.text !== "") emit({ type: "broken", error });
    return extract("llm_unavailable");
  }
}

async function generated(
  { search, conversation, answerTokensMax = Number.POSITIVE_INFINITY }: Question,
  sources: readonly AnswerSource[],
  model: LanguageModel,
  filter: AnswerFilter,
  emit: (event: AskEvent) => void,
  signal: AbortSignal,
): Promise<Answer> {
  const generation = await model.generate(
    {
      messages: buildPrompt(search.query, sources, filter.nonce, conversation),
      tokensMax: Math.min(answerTokensMax, model.answerTokensMax),
      onDelta: (text) => emitText(filter.push(text), emit),
    },
    signal,
  );
  emitText(filter.end(), emit);
  return {
    answer: filter.text,
    citations: filter.citations,
    mode: "generated",
    reason: undefined,
    truncated: generation.finish === "length",
    model: generation.model,
    usage: generation.usage,
    clean: filter.citations.length > 0 && filter.falseCitations === 0 && filter.removedLinks === 0,
  };
}

async function extractive(
  question: string,
  sources: readonly AnswerSource[],
  reason: "llm_unset" | "llm_unavailable",
  deps: AnswerDeps,
  emit: (event: AskEvent) => void,
  signal: AbortSignal,
): Promise<Answer> {
  const found =
    sources.length === 0 ? undefined : await extractAnswer(question, sources, (texts, purpose) => deps.embed(texts, purpose, signal));
  const answer = found === undefined || found.text === "" ? { text: "The documents say nothing about this.", citations: [] } : found;
  emitText(answer, emit);
  return {
    answer: answer.text,
    citations: answer.citations,
    mode: "extractive",
    reason: answer.citations.length === 0 ? "nothing_found" : reason,
    truncated: false,
    model: undefined,
    usage: noTokens,
    clean: true,
  };
}

/** Tells an answer that is there already as if it were being made. */
export function replay({ answer, citations }: Answer, sources: readonly SourceSummary[], emit: (event: AskEvent) => void): void {
  emit({ type: "sources", sources });
  emitText({ text: answer, citations }, emit);
}

function emitText({ text, citations }: FilteredText, emit: (event: AskEvent) => void): void {
  if (text !== "") emit({ type: "delta", text });
  for (const citation of citations) emit({ type: "citation", citation });
}

export function withoutText({ text: _, ...summary }: AnswerSource): SourceSummary {
  return summary;
}
