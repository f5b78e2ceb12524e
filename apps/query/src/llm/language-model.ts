import { setTimeout as delay } from "node:timers/promises";
import { DependencyError, type Generation, type GenerationRequest, isMillraceError, type LanguageModel } from "@millrace/core";
import type { Logger } from "@millrace/runtime";
import { ChatServer, type ChatServerOptions, RetryLaterError } from "./chat-completion.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";

export interface LanguageModelOptions extends ChatServerOptions {
  /** The first that is up answers. */
  readonly models: readonly string[];
  readonly contextTokensMax: number;
  readonly answerTokensMax: number;
  readonly logger: Logger;
}

const attemptsMax = 2;
const backoffMs = 250;
/** Whoever asks to come back later than this is passed over. */
const retryAfterMsMax = 3_000;

/**
 * The models of one server, in order of preference, each behind a breaker. A failure is tried again, and then with the next model, as long as nobody
 * has heard a word of the answer.
 */
export class ServedLanguageModel implements LanguageModel {
  readonly fingerprint: string;
  readonly preferredModel: string;
  readonly contextTokensMax: number;
  readonly answerTokensMax: number;
  readonly #server: ChatServer;
  readonly #models: readonly { readonly name: string; readonly breaker: CircuitBreaker }[];
  readonly #logger: Logger;

  constructor(options: LanguageModelOptions) {
    const { baseUrl, models, contextTokensMax, answerTokensMax } = options;
    this.fingerprint = JSON.stringify({ baseUrl, models, contextTokensMax, answerTokensMax });
    this.preferredModel = models[0] ?? "";
    this.contextTokensMax = options.contextTokensMax;
    this.answerTokensMax = options.answerTokensMax;
    this.#server = new ChatServer(options);
    this.#models = options.models.map((name) => ({ name, breaker: new CircuitBreaker() }));
    this.#logger = options.logger;
  }

  async generate(request: GenerationRequest, signal: AbortSignal): Promise<Generation> {
    let last: unknown = new DependencyError("llm.unavailable", "The models have failed often, and are left alone for now");
    for (const { name, breaker } of this.#models) {
      for (let attempt = 1; attempt <= attemptsMax && breaker.admit(); attempt++) {
        let begun = false;
        const onDelta = (text: string): void => {
          begun = true;
          request.onDelta(text);
        };
        try {
          const { messages, tokensMax } = request;
          const generation = await this.#server.complete({ model: name, messages, tokensMax, onDelta }, signal);
          breaker.succeeded();
          return generation;
        } catch (error) {
          if (signal.aborted) {
            breaker.undecided();
            throw error;
          }
          breaker.failed();
          this.#logger.warn({ err: error, model: name, attempt, begun }, "llm.failed");
          if (begun || !isMillraceError(error)) throw error;
          last = error;
          if (!error.retryable) break;
          const pauseMs = error instanceof RetryLaterError ? error.retryAfterMs : backoffMs * (0.5 + Math.random());
          if (pauseMs > retryAfterMsMax || attempt === attemptsMax) break;
          await delay(pauseMs, undefined, { signal });
        }
      }
    }
    throw last;
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}
