import { randomBytes } from "node:crypto";
import { InvalidInputError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { ProjectName } from "../project.ts";
import { parseSearchRequest, type SearchRequest } from "../search-request.ts";
import { type AskEvent, answerFrom, type Question } from "./answer.ts";
import { type AnswerKeeper, type CachedAnswer, type CachedAnswerDeps, cachedAnswer } from "./cached-answer.ts";
import { boundConversation, conversationTokensMax, turnsOf } from "./conversation.ts";
import { type LanguageModel, noTokens, type Usage } from "./language-model.ts";
import type { ChatMessage } from "./prompt.ts";
import { selectSources, sourceTokensMax } from "./source.ts";
import { standaloneQuestion, type Turn } from "./standalone.ts";

export interface AskRequest {
  /** What is searched for; its query is the question. */
  readonly search: SearchRequest;
  /** Whether somebody reads the answer while it comes. */
  readonly stream: boolean;
  /** The session that the question belongs to. */
  readonly sessionId: string | undefined;
  /** What was said before the question, oldest first, where the caller keeps it; the model is shown as much of it as its window has room for. */
  readonly conversation?: readonly ChatMessage[];
  /** Of the answer, where it should be shorter than the model's own limit. */
  readonly answerTokensMax?: number;
}

export interface AskDeps extends Omit<CachedAnswerDeps, "keeper"> {
  /** Undefined: none is configured, and answers are extractive. */
  readonly model: LanguageModel | undefined;
  /** Undefined: every answer is made anew. Extractive ones always are. */
  readonly keeper: AnswerKeeper | undefined;
}

export interface Asked extends CachedAnswer {
  /** As it was searched for: in a session, made to stand alone. */
  readonly question: string;
}

/**
 * Answers a question from the documents of a project: make it stand alone → take an answer that was given before, or retrieve → number the sources → generate,
 * or extract where there is no model to generate.
 * @param turns of the session, oldest first; where there are none, what was said before the question is read from its conversation
 * @throws DependencyError where retrieval fails; the signal's reason
 */
export async function ask(
  request: Pick<AskRequest, "search" | "conversation" | "answerTokensMax">,
  turns: readonly Turn[],
  deps: AskDeps,
  emit: (event: AskEvent) => void,
  signal: AbortSignal,
): Promise<Asked> {
  const { model, keeper } = deps;
  const { conversation = [] } = request;
  const before = turns.length === 0 ? turnsOf(conversation) : turns;
  const rewrite = () => standaloneQuestion(request.search.query, before, model, randomBytes(8).toString("hex"), signal);
  const { question: query, usage } = before.length === 0 ? await rewrite() : await deps.step("rewrite", rewrite);
  const question: Question = {
    search: { ...request.search, query },
    conversation: model === undefined ? [] : boundConversation(conversation, conversationTokensMax(model)),
    answerTokensMax: request.answerTokensMax,
  };
  const answered =
    model === undefined || keeper === undefined
      ? await newAnswer(question, deps, emit, signal)
      : await cachedAnswer(question, model, { ...deps, keeper }, emit, signal);
  return { ...answered, question: query, answer: { ...answered.answer, usage: sum(answered.answer.usage, usage) } };
}

async function newAnswer(question: Question, deps: AskDeps, emit: (event: AskEvent) => void, signal: AbortSignal): Promise<CachedAnswer> {
  const { search, conversation } = question;
  const hits = await deps.step("retrieve", () => deps.retrieve(search, signal));
  const sources = selectSources(hits, sourceTokensMax(search.query, conversation, deps.model));
  const answer = await answerFrom(question, sources, deps, emit, signal);
  return { answer, cache: "miss", saved: noTokens };
}

function sum(a: Usage, b: Usage): Usage {
  return { promptTokens: a.promptTokens + b.promptTokens, completionTokens: a.completionTokens + b.completionTokens };
}

const sessionIdPattern = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Checks a request from outside.
 * @throws InvalidInputError `ask.missing`, `ask.stream`, `ask.session_id`, and as `parseSearchRequest` does
 */
export function parseAskRequest(project: ProjectName, body: unknown): AskRequest {
  const fields = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  // What `trace` asks for is the route's to tell.
  const { question, stream = false, session_id: sessionId, trace: _trace, ...rest } = fields;
  if (typeof question !== "string")
    throw new InvalidInputError("ask.missing", "The body has no text in `question`", { hint: 'Send {"question": "…"}.' });
  if (typeof stream !== "boolean") throw new InvalidInputError("ask.stream", "`stream` is neither true nor false");
  return {
    search: parseSearchRequest(project, { top_k: limits.askTopKDefault, ...rest, query: question }),
    stream,
    sessionId: sessionId === undefined || sessionId === null ? undefined : parseSessionId(sessionId),
  };
}

/** @throws InvalidInputError `ask.session_id` */
export function parseSessionId(value: unknown): string {
  if (typeof value === "string" && sessionIdPattern.test(value)) return value;
  throw new InvalidInputError("ask.session_id", "session_id is not 1 to 64 of A-Z, a-z, 0-9, '-' and '_'", {
    hint: "Choose one for each conversation, for example a UUID.",
  });
}
