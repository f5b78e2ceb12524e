import { randomBytes } from "node:crypto";
import { InvalidInputError, isMillraceError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { EmbedPurpose, StoredHit } from "../ports.ts";
import type { ProjectName } from "../project.ts";
import { parseSearchRequest, type SearchRequest } from "../search-request.ts";
import { AnswerFilter, type Citation, type FilteredText } from "./answer-filter.ts";
import { boundConversation } from "./conversation.ts";
import { extractAnswer } from "./extractive.ts";
import { buildPrompt, type ChatMessage, promptFrameTokens } from "./prompt.ts";
import { type AnswerSource, selectSources } from "./source.ts";
import { estimateTokens } from "./tokens.ts";

export interface AskRequest {
  /** What is searched for; its query is the question. */
  readonly search: SearchRequest;
  /** Whether somebody reads the answer while it comes: then what was said cannot be taken back. */
  readonly stream: boolean;
  /** What was said before the question, oldest first; the model is shown as much of it as its window has room for. */
  readonly conversation?: readonly ChatMessage[];
  /** Of the answer, where it should be shorter than the model's own limit. */
  readonly answerTokensMax?: number;
}

export interface GenerationRequest {
  readonly messages: readonly ChatMessage[];
  readonly tokensMax: number;
  readonly onDelta: (text: string) => void;
}

export interface Generation {
  /** The model that answered; of several, the one that was up. */
  readonly model: string;
  /** `length`: it was cut off at `tokensMax` or `answerCharsMax`. */
  readonly finish: "stop" | "length";
  readonly usage: Usage;
}

interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** A chat model behind the network. */
export interface LanguageModel {
  readonly contextTokensMax: number;
  readonly answerTokensMax: number;
  /** @throws MillraceError `llm.…`; before the first delta it has tried whatever there was to try */
  generate(request: GenerationRequest, signal: AbortSignal): Promise<Generation>;
}

export interface AskDeps {
  readonly retrieve: (request: SearchRequest, signal: AbortSignal) => Promise<readonly StoredHit[]>;
  readonly embed: (texts: readonly string[], purpose: EmbedPurpose, signal: AbortSignal) => Promise<readonly Float32Array[]>;
  /** Undefined: none is configured, and answers are extractive. */
  readonly model: LanguageModel | undefined;
  /** Runs a step; here its time is taken. */
  readonly step: <T>(name: AskStep, action: () => Promise<T>) => Promise<T>;
}

export type AskStep = "retrieve" | "generate" | "extract";

/** What happens while an answer is made, in this order: its sources, then text and the citations in it. */
export type AskEvent =
  | { readonly type: "sources"; readonly sources: readonly AnswerSource[] }
  | { readonly type: "delta"; readonly text: string }
  | { readonly type: "citation"; readonly citation: Citation };

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
}

/**
 * Answers a question from the documents of a project: retrieve → number the sources → generate, checked while it streams; extract where there is no
 * model to generate.
 * @throws InvalidInputError `query.too_long`; DependencyError where retrieval fails, or the model does after it had begun to speak
 */
export async function ask(request: AskRequest, deps: AskDeps, emit: (event: AskEvent) => void, signal: AbortSignal): Promise<Answer> {
  const { search, stream } = request;
  const { model } = deps;
  const hits = await deps.step("retrieve", () => deps.retrieve(search, signal));
  const conversation = model === undefined ? [] : boundConversation(request.conversation ?? [], conversationTokensMax(model));
  const sources = selectSources(hits, sourceTokensMax(search.query, conversation, model));
  emit({ type: "sources", sources });
  const extract = (reason: "llm_unset" | "llm_unavailable"): Promise<Answer> =>
    deps.step("extract", () => extractive(search.query, sources, reason, deps, emit, signal));
  if (sources.length === 0 || model === undefined) return extract("llm_unset");

  const filter = new AnswerFilter(sources, randomBytes(8).toString("hex"));
  try {
    return await deps.step("generate", () => generated({ ...request, conversation }, sources, model, filter, emit, signal));
  } catch (error) {
    signal.throwIfAborted();
    if (!isMillraceError(error) || (stream && filter.text !== "")) throw error;
    return extract("llm_unavailable");
  }
}

async function generated(
  { search, conversation, answerTokensMax = Number.POSITIVE_INFINITY }: AskRequest,
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
  };
}

async function extractive(
  question: string,
  sources: readonly AnswerSource[],
  reason: "llm_unset" | "llm_unavailable",
  deps: AskDeps,
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
    usage: { promptTokens: 0, completionTokens: 0 },
  };
}

function emitText({ text, citations }: FilteredText, emit: (event: AskEvent) => void): void {
  if (text !== "") emit({ type: "delta", text });
  for (const citation of citations) emit({ type: "citation", citation });
}

/** Sources matter more than what was said before: they are what answers are made from. */
const conversationShareMax = 0.25;

function conversationTokensMax({ contextTokensMax, answerTokensMax }: LanguageModel): number {
  return Math.floor((contextTokensMax - answerTokensMax - promptFrameTokens) * conversationShareMax);
}

/** What the model's window has left for sources; without a model, as many as it likes. */
function sourceTokensMax(question: string, conversation: readonly ChatMessage[], model: LanguageModel | undefined): number {
  if (model === undefined) return Number.POSITIVE_INFINITY;
  const said = conversation.reduce((sum, { content }) => sum + estimateTokens(content), 0);
  return model.contextTokensMax - model.answerTokensMax - promptFrameTokens - estimateTokens(question) - said;
}

/**
 * Checks a request from outside.
 * @throws InvalidInputError `ask.missing`, and as `parseSearchRequest` does
 */
export function parseAskRequest(project: ProjectName, body: unknown): AskRequest {
  const { question, stream = false, ...rest } = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  if (typeof question !== "string")
    throw new InvalidInputError("ask.missing", "The body has no text in `question`", { hint: 'Send {"question": "…"}.' });
  if (typeof stream !== "boolean") throw new InvalidInputError("ask.stream", "`stream` is neither true nor false");
  return { search: parseSearchRequest(project, { top_k: limits.askTopKDefault, ...rest, query: question }), stream };
}
