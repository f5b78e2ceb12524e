import {
  type AskEvent,
  type AskStep,
  ask,
  type Embedder,
  InvalidInputError,
  isMillraceError,
  type LanguageModel,
  limits,
  type ProjectName,
  parseAskRequest,
  type RetrieveDeps,
  retrieve,
  type SearchDeps,
  spaceMismatch,
} from "@millrace/core";
import type { Principal } from "@millrace/ledger";
import type { Logger } from "@millrace/runtime";
import type { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Admission } from "../admission.ts";
import type { QueryMetrics } from "../metrics.ts";
import { problemOf, Refusal } from "../problem.ts";
import { bodyTooLarge } from "../search-endpoint.ts";
import { answerJson, citationJson, sourceJson } from "./answer-json.ts";
import { eventStream, type ServerSentEvent } from "./event-stream.ts";

export interface AskRouteDeps extends RetrieveDeps {
  readonly spaces: SearchDeps["spaces"];
  readonly admission: Admission;
  readonly metrics: Pick<QueryMetrics, "observeStep">;
  readonly logger: Logger;
  /** Embeds sentences for extractive answers, past the cache of query vectors. */
  readonly model: Pick<Embedder, "embed">;
  /** Undefined: answers are extractive. */
  readonly languageModel?: LanguageModel;
}

type Env = { Variables: { principal: Principal; project: ProjectName } };

function refuseLargeBody(): never {
  throw bodyTooLarge();
}

/** `POST /v1/ask`, on an app that has authenticated the request. */
export function addAskRoutes(app: Hono<Env>, deps: AskRouteDeps): void {
  let streams = 0;

  app.post("/v1/ask", bodyLimit({ maxSize: limits.requestBodyBytesMax, onError: refuseLargeBody }), async (context) => {
    if (!context.get("principal").scopes.includes("read")) throw new Refusal(403, "key.scope", "The key may not read");
    const body: unknown = await context.req.json().catch(() => {
      throw new InvalidInputError("request.malformed", "The body is not JSON");
    });
    const request = parseAskRequest(context.get("project"), body);
    const traced = (body as { trace?: unknown }).trace === true;
    const client = context.req.raw.signal;
    if (!request.stream) return context.json(await answer(request, traced, () => undefined, client), 200, { "cache-control": "no-store" });
    if (streams >= limits.answerStreamsMax)
      throw new Refusal(503, "ask.too_many", `${limits.answerStreamsMax} answers are being streamed`, "Come back later.");
    streams++;
    return eventStream({
      client,
      run: async (send, signal) => {
        try {
          const answered = await answer(request, traced, (event) => send(eventJson(event)), signal);
          send({ event: "done", data: answered });
        } catch (error) {
          if (!signal.aborted) send({ event: "error", data: problemData(error, deps.logger) });
        } finally {
          streams--;
        }
      },
    });
  });

  async function answer(
    request: ReturnType<typeof parseAskRequest>,
    traced: boolean,
    emit: (event: AskEvent) => void,
    signal: AbortSignal,
  ): Promise<ReturnType<typeof answerJson>> {
    const startedAt = performance.now();
    const timings: Record<string, number> = {};
    const { project } = request.search;
    const answered = await ask(
      request,
      {
        model: deps.languageModel,
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
    );
    const tookMs = rounded(performance.now() - startedAt);
    return answerJson(answered, tookMs, traced ? timings : undefined);
  }
}

function eventJson(event: AskEvent): ServerSentEvent {
  switch (event.type) {
    case "sources":
      return { event: "sources", data: event.sources.map(sourceJson) };
    case "delta":
      return { event: "delta", data: { text: event.text } };
    case "citation":
      return { event: "citation", data: citationJson(event.citation) };
  }
}

function problemData(error: unknown, logger: Logger): Readonly<Record<string, unknown>> {
  const { status, code, message, hint } = problemOf(error);
  if (status >= 500) logger.error({ err: error, code: isMillraceError(error) ? error.code : undefined }, "ask.failed");
  return { status, code, detail: message, ...(hint === undefined ? {} : { hint }) };
}

function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
