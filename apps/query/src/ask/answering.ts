import {
  type Answer,
  type AskEvent,
  type AskRequest,
  type AskStep,
  ask,
  type Embedder,
  isMillraceError,
  type LanguageModel,
  limits,
  type RetrieveDeps,
  retrieve,
  type SearchDeps,
  spaceMismatch,
} from "@millrace/core";
import type { Logger } from "@millrace/runtime";
import type { Admission } from "../admission.ts";
import type { QueryMetrics } from "../metrics.ts";
import { problemOf, Refusal } from "../problem.ts";
import type { Caller } from "../quota/quota-policy.ts";
import type { QuestionTicket, Quotas } from "../quota/quotas.ts";
import type { UsageCounters } from "../usage/usage-counters.ts";
import { eventStream, type ServerSentEvent } from "./event-stream.ts";

export interface AnsweringDeps extends RetrieveDeps {
  readonly spaces: SearchDeps["spaces"];
  readonly admission: Admission;
  readonly quotas: Quotas;
  readonly usage: Pick<UsageCounters, "add">;
  readonly metrics: Pick<QueryMetrics, "observeStep">;
  readonly logger: Logger;
  /** Embeds sentences for extractive answers, past the cache of query vectors. */
  readonly model: Pick<Embedder, "embed">;
  /** Undefined: answers are extractive. */
  readonly languageModel?: LanguageModel;
}

export interface TimedAnswer {
  readonly answer: Answer;
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

  /** @throws as `ask` does; Refusal where too many wait; QuotaRefusal where the tokens are used up */
  async answer(request: AskRequest, ticket: QuestionTicket, emit: (event: AskEvent) => void, signal: AbortSignal): Promise<TimedAnswer> {
    const deps = this.#deps;
    const startedAt = performance.now();
    const timings: Record<string, number> = {};
    const { project } = request.search;
    const model = deps.languageModel === undefined ? undefined : ticket.metered(deps.languageModel);
    const answer = await ask(
      request,
      {
        model,
        embed: (texts, purpose, own) =>
          purpose === "query" ? deps.embedder.embed(texts, own, purpose) : deps.model.embed(texts, own, purpose),
        async retrieve(search, own) {
          const mismatch = spaceMismatch(project, await deps.spaces.of(project), deps.embedder.space);
          if (mismatch !== undefined) throw mismatch;
          const deadline = AbortSignal.any([own, AbortSignal.timeout(limits.requestTimeoutMs)]);
          return deps.admission.run(project, () => retrieve(search, deps, deadline), deadline);
        },
        async step(name: AskStep, action) {
          const begunAt = performance.now();
          try {
            return await action();
          } finally {
            timings[name] = rounded(performance.now() - begunAt);
            deps.metrics.observeStep(name, (performance.now() - begunAt) / 1_000);
          }
        },
      },
      emit,
      signal,
    ).finally(() => {
      ticket.end();
      // Tokens cost whether or not they became an answer.
      if (model !== undefined)
        deps.usage.add(project, { prompt_tokens: model.used.promptTokens, completion_tokens: model.used.completionTokens });
    });
    deps.usage.add(project, { questions: 1, [answer.mode]: 1 });
    return { answer, tookMs: rounded(performance.now() - startedAt), timings };
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

function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
