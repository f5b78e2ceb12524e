import {
  type AnswerKeeper,
  type AskEvent,
  type Asked,
  type AskRequest,
  type AskStep,
  ask,
  type Embedder,
  errorMessage,
  isMillraceError,
  type LanguageModel,
  limits,
  type ProjectName,
  type RetrieveDeps,
  rerankerFor,
  retrieve,
  type SearchDeps,
  type SearchHit,
  spaceMismatch,
  type Usage,
} from "@millrace/core";
import type { Principal } from "@millrace/ledger";
import type { Logger } from "@millrace/runtime";
import type { Admission } from "../admission.ts";
import type { QueryMetrics } from "../metrics.ts";
import { problemOf, Refusal } from "../problem.ts";
import type { Caller } from "../quota/quota-policy.ts";
import type { QuestionTicket, Quotas } from "../quota/quotas.ts";
import { QuestionTrace, type Span, type SpanExporter } from "../tracing/question-trace.ts";
import type { UsageCounters } from "../usage/usage-counters.ts";
import { eventStream, type ServerSentEvent } from "./event-stream.ts";
import { type Sessions, type ToldTurn, withdrawDeleted } from "./sessions.ts";

export interface AnsweringDeps extends RetrieveDeps {
  readonly ledger: SearchDeps["ledger"];
  readonly spaces: SearchDeps["spaces"];
  readonly admission: Admission;
  readonly quotas: Quotas;
  readonly usage: Pick<UsageCounters, "add">;
  readonly metrics: Pick<QueryMetrics, "observeStep" | "countAnswer">;
  readonly logger: Logger;
  /** Undefined: traces go nowhere. */
  readonly spans?: SpanExporter;
  /** Embeds sentences for extractive answers, past the cache of query vectors. */
  readonly model: Pick<Embedder, "embed">;
  /** Undefined: answers are extractive. */
  readonly languageModel?: LanguageModel;
  readonly questions: AnswerKeeper;
  /** Cosine similarity from which two questions may be one. Undefined: never. */
  readonly similarityMin?: number;
  readonly sessions: Sessions;
}

/** Who asks, by what key, and as a part of which trace. */
export type Asker = Pick<Principal, "keyId" | "scopes"> & { readonly traceparent?: string | undefined };

/** `broken` becomes an error for who streams, and is nothing to who does not. */
export type ToldEvent = Exclude<AskEvent, { readonly type: "broken" }>;

export interface TimedAnswer extends Pick<Asked, "answer" | "cache" | "saved"> {
  /** What was searched for, where a session made another question of it. */
  readonly standaloneQuestion: string | undefined;
  readonly tookMs: number;
  /** Milliseconds of each step. */
  readonly timings: Readonly<Record<string, number>>;
}

interface StreamOptions {
  readonly ticket: QuestionTicket;
  /** Aborts when the client has left. */
  readonly client: AbortSignal;
  readonly run: (send: (event: ServerSentEvent) => void, signal: AbortSignal) => Promise<void>;
  /** What is sent when `run` fails. */
  readonly failed: (problem: Refusal) => ServerSentEvent;
}

/** Answers questions for every route that has them: with the service's own parts, its limits and its metrics. */
export class Answering {
  readonly #deps: AnsweringDeps;
  #streams = 0;

  constructor(deps: AnsweringDeps) {
    this.#deps = deps;
  }

  /** Lets a question in, before anything of its answer is sent. @throws QuotaRefusal 429 */
  admit(caller: Caller, { stream }: AskRequest): Promise<QuestionTicket> {
    return this.#deps.quotas.admitQuestion(caller, { stream });
  }

  /**
   * The answer, in its session where the request names one, which then remembers it.
   * @throws as `ask` does; Refusal where too many wait; QuotaRefusal where the tokens are used up; where it is streamed, DependencyError of a model that
   *   failed after a word
   */
  async answer(
    request: AskRequest,
    asker: Asker,
    ticket: QuestionTicket,
    emit: (event: ToldEvent) => void,
    signal: AbortSignal,
  ): Promise<TimedAnswer> {
    const trace = new QuestionTrace(this.#deps.spans, asker.traceparent);
    const { project } = request.search;
    try {
      const answered = await this.#answer(request, asker, ticket, trace, emit, signal);
      const { answer, cache } = answered;
      trace.end({ "millrace.project": project, "millrace.cache": cache, "millrace.mode": answer.mode, ...tokensOf(answer) });
      return answered;
    } catch (error) {
      trace.end({ "millrace.project": project, "error.type": signal.aborted ? "request.aborted" : problemOf(error).code }, true);
      throw error;
    } finally {
      ticket.end();
    }
  }

  async #answer(
    request: AskRequest,
    asker: Asker,
    ticket: QuestionTicket,
    trace: QuestionTrace,
    emit: (event: ToldEvent) => void,
    signal: AbortSignal,
  ): Promise<TimedAnswer> {
    const deps = this.#deps;
    const { project, query } = request.search;
    const turns = await this.#turns(request, asker);
    // A model that failed after a word ends the answer for who has read it, not for others who wait for the same.
    const broken = new AbortController();
    const own = AbortSignal.any([signal, broken.signal]);
    // Tokens cost whether or not they became an answer.
    const countTokens = ({ promptTokens, completionTokens }: Usage): void =>
      deps.usage.add(project, { prompt_tokens: promptTokens, completion_tokens: completionTokens });
    const model = deps.languageModel === undefined ? undefined : ticket.metered(deps.languageModel, countTokens);
    const asked = await ask(
      request,
      turns.map(({ standalone, answer }) => ({ question: standalone, answer })),
      {
        model,
        keeper: deps.questions,
        ledger: deps.ledger,
        similarityMin: deps.similarityMin,
        setting: {
          keyScope: asker.scopes.toSorted().join(" "),
          spaceFingerprint: deps.embedder.space.fingerprint,
          rerankerFingerprint: rerankerFor(request.search, deps)?.fingerprint ?? null,
        },
        embed: (texts, purpose, own) =>
          purpose === "query" ? deps.embedder.embed(texts, own, purpose) : deps.model.embed(texts, own, purpose),
        async retrieve(search, own) {
          const mismatch = spaceMismatch(project, await deps.spaces.of(project), deps.embedder.space);
          if (mismatch !== undefined) throw mismatch;
          const deadline = AbortSignal.any([own, AbortSignal.timeout(limits.requestTimeoutMs)]);
          let enter = (): void => undefined;
          const entered = new Promise<void>((resolve) => {
            enter = resolve;
          });
          const work = (): Promise<SearchHit[]> => {
            enter();
            return retrieve(search, tracedParts(deps, trace), deadline);
          };
          const found = deps.admission.run(project, work, deadline);
          await trace.part("admission", () => Promise.race([entered, found]));
          return found;
        },
        step: (name: AskStep, action) => trace.step(name, action, (seconds) => deps.metrics.observeStep(name, seconds)),
      },
      (event) => {
        if (own.aborted) return;
        if (event.type !== "broken") emit(event);
        else if (request.stream) broken.abort(event.error);
      },
      own,
    );
    own.throwIfAborted();
    const { question, answer, cache, saved } = asked;
    deps.metrics.countAnswer(answer.mode === "generated" ? cache : "extractive");
    this.#countUsage(project, asked);
    await this.#remember(request, asker, asked, turns.length > 0);
    const standaloneQuestion = question === query ? undefined : question;
    return { answer, cache, saved, standaloneQuestion, tookMs: trace.tookMs, timings: trace.timings };
  }

  #countUsage(project: ProjectName, { answer, cache, saved }: Asked): void {
    const fromCache = { cached: 1, saved_prompt_tokens: saved.promptTokens, saved_completion_tokens: saved.completionTokens };
    this.#deps.usage.add(project, { questions: 1, ...(cache === "miss" ? { [answer.mode]: 1 } : fromCache) });
  }

  async #turns({ sessionId, search: { project } }: AskRequest, { keyId }: Asker): Promise<ToldTurn[]> {
    if (sessionId === undefined) return [];
    return withdrawDeleted(await this.#deps.sessions.turns({ project, keyId }, sessionId), project, this.#deps.ledger);
  }

  async #remember({ sessionId, search }: AskRequest, { keyId }: Asker, { question, answer }: Asked, goesOn: boolean): Promise<void> {
    if (sessionId === undefined) return;
    const documentIds = [...new Set(answer.citations.map(({ documentId }) => documentId))];
    const turn = { question: search.query, standalone: question, answer: answer.answer, documentIds, at: Date.now() };
    await this.#deps.sessions
      .remember({ project: search.project, keyId }, sessionId, turn, goesOn)
      // The answer is there, and may have been read.
      .catch((error: unknown) => this.#deps.logger.warn({ reason: errorMessage(error) }, "session.not_remembered"));
  }

  /**
   * A reply of server-sent events. What fails after its headers are out is told as an event, and noted in the log where the fault is ours.
   * @throws Refusal 503 `ask.too_many`
   */
  stream({ ticket, client, run, failed }: StreamOptions): Response {
    if (this.#streams >= limits.answerStreamsMax) {
      void ticket.end();
      throw new Refusal(503, "ask.too_many", `${limits.answerStreamsMax} answers are being streamed`, "Come back later.");
    }
    this.#streams++;
    return eventStream({
      client,
      headers: ticket.headers,
      run: async (send, signal) => {
        try {
          await run(send, signal);
        } catch (error) {
          if (!signal.aborted) send(failed(this.#problemOf(error)));
        } finally {
          this.#streams--;
        }
      },
    });
  }

  #problemOf(error: unknown): Refusal {
    const problem = problemOf(error);
    if (problem.status >= 500) {
      this.#deps.logger.error({ err: error, code: isMillraceError(error) ? error.code : undefined }, "ask.failed");
    }
    return problem;
  }
}

/** What a search is made of, each in a span of its own. */
function tracedParts(deps: AnsweringDeps, trace: QuestionTrace): RetrieveDeps {
  const { embedder, store, reranker } = deps;
  return {
    ledger: deps.ledger,
    embedder: { space: embedder.space, embed: (...call) => trace.part("embed", () => embedder.embed(...call)) },
    store: {
      search: (...call) => trace.part("search.dense", () => store.search(...call)),
      searchKeywords: (...call) => trace.part("search.keyword", () => store.searchKeywords(...call)),
      vectors: (...call) => store.vectors(...call),
      read: (...call) => store.read(...call),
    },
    ...(reranker === undefined
      ? {}
      : { reranker: { fingerprint: reranker.fingerprint, score: (...call) => trace.part("rerank", () => reranker.score(...call)) } }),
  };
}

/** By the names of OpenTelemetry's conventions for generative AI. */
function tokensOf({ model, usage }: Asked["answer"]): Span["attributes"] {
  if (model === undefined) return {};
  return {
    "gen_ai.response.model": model,
    "gen_ai.usage.input_tokens": BigInt(usage.promptTokens),
    "gen_ai.usage.output_tokens": BigInt(usage.completionTokens),
  };
}
