import { randomUUID } from "node:crypto";
import { limits } from "@millrace/core";
import type { Hono } from "hono";
import { citationJson, sourceJson, usageJson } from "../ask/answer-json.ts";
import type { Answering, Asker, TimedAnswer, ToldEvent } from "../ask/answering.ts";
import { type Env, requireScope } from "../authenticate.ts";
import { Refusal } from "../problem.ts";
import type { QuestionTicket } from "../quota/quotas.ts";
import { jsonOf, limitBody } from "../request-body.ts";
import { type ChatRequest, chatModel, parseChatRequest } from "./chat-request.ts";
import { openAiError } from "./openai-error.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * OpenAI's chat over the documents of a project, so that a client needs a base URL and a key only: `POST /v1/chat/completions`, `GET /v1/models`. What
 * the protocol has no place for stands in the field `millrace`: sources, citations, how the answer came about.
 */
export function addChatRoutes(app: Hono<Env>, answering: Answering): void {
  app.post("/v1/chat/completions", limitBody(limits.chatBodyBytesMax, "Send less of the conversation."), async (context) => {
    const asker = { ...context.get("principal"), traceparent: context.req.header("traceparent") };
    requireScope(asker, "read");
    const body = await jsonOf(context.req);
    const request = parseChatRequest(context.get("project"), body);
    const client = context.req.raw.signal;
    const ticket = await answering.admit({ keyId: asker.keyId, project: context.get("project") }, request.ask);
    if (request.ask.stream) return streamChat(request, asker, ticket, answering, client);
    const answered = await answering.answer(request.ask, asker, ticket, () => undefined, client);
    const choice = { index: 0, message: { role: "assistant", content: answered.answer.answer, refusal: null }, logprobs: null };
    const frame = frameOf("chat.completion", request);
    const completion = { ...frame, choices: [{ ...choice, finish_reason: finishOf(answered) }], usage: usageJson(answered.answer.usage) };
    return context.json({ ...completion, millrace: extensionOf(answered) }, 200, { "cache-control": "no-store", ...ticket.headers });
  });

  const model = { id: chatModel, object: "model", created: 0, owned_by: "millrace" };
  app.get("/v1/models", (context) => context.json({ object: "list", data: [model] }));
  app.get("/v1/models/:id", (context) => {
    if (context.req.param("id") !== chatModel) throw new Refusal(404, "model.unknown", `The only model here is "${chatModel}"`);
    return context.json(model);
  });
}

function streamChat(request: ChatRequest, asker: Asker, ticket: QuestionTicket, answering: Answering, client: AbortSignal): Response {
  const frame = frameOf("chat.completion.chunk", request);
  const chunkOf = (delta: Json, finish: string | null = null, extra: Json = {}): { data: Json } => ({
    data: { ...frame, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], ...extra },
  });
  return answering.stream({
    ticket,
    client,
    run: async (send, signal) => {
      const emit = (event: ToldEvent): void => {
        // The client may have to wait for the first word, but not for the sources.
        if (event.type === "sources")
          send(chunkOf({ role: "assistant", content: "" }, null, { millrace: { sources: event.sources.map(sourceJson) } }));
        if (event.type === "delta") send(chunkOf({ content: event.text }));
      };
      const answered = await answering.answer(request.ask, asker, ticket, emit, signal);
      send(chunkOf({}, finishOf(answered), { millrace: extensionOf(answered) }));
      if (request.includeUsage) send({ data: { ...frame, choices: [], usage: usageJson(answered.answer.usage) } });
      send({ data: "[DONE]" });
    },
    failed: (problem) => ({ data: openAiError(problem) }),
  });
}

function frameOf(object: string, { model }: ChatRequest): Json {
  return { id: `chatcmpl-${randomUUID()}`, object, created: Math.floor(Date.now() / 1_000), model };
}

function finishOf({ answer }: TimedAnswer): "stop" | "length" {
  return answer.truncated ? "length" : "stop";
}

function extensionOf({ answer: { citations, mode, reason, model }, cache, standaloneQuestion, tookMs }: TimedAnswer): Json {
  return {
    citations: citations.map(citationJson),
    ...{ mode, reason: reason ?? null, model: model ?? null },
    standalone_question: standaloneQuestion ?? null,
    ...{ cache, took_ms: tookMs },
  };
}
