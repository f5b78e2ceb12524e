import { limits, parseAskRequest } from "@millrace/core";
import type { Hono } from "hono";
import { type Env, requireScope } from "../authenticate.ts";
import { jsonOf, limitBody } from "../request-body.ts";
import { largeBodyHint } from "../search-endpoint.ts";
import { answerJson, citationJson, sourceJson } from "./answer-json.ts";
import type { Answering, ToldEvent } from "./answering.ts";
import type { ServerSentEvent } from "./event-stream.ts";

/** `POST /v1/ask`, on an app that has authenticated the request. */
export function addAskRoutes(app: Hono<Env>, answering: Answering): void {
  app.post("/v1/ask", limitBody(limits.requestBodyBytesMax, largeBodyHint), async (context) => {
    const asker = { ...context.get("principal"), traceparent: context.req.header("traceparent") };
    requireScope(asker, "read");
    const body = await jsonOf(context.req);
    const request = parseAskRequest(context.get("project"), body);
    const traced = (body as { trace?: unknown }).trace === true;
    const client = context.req.raw.signal;
    const ticket = await answering.admit({ keyId: asker.keyId, project: request.search.project }, request);
    const answer = async (emit: (event: ToldEvent) => void, signal: AbortSignal): Promise<ReturnType<typeof answerJson>> =>
      answerJson(request, await answering.answer(request, asker, ticket, emit, signal), traced);
    if (!request.stream)
      return context.json(await answer(() => undefined, client), 200, { "cache-control": "no-store", ...ticket.headers });
    return answering.stream({
      ticket,
      client,
      run: async (send, signal) => {
        const answered = await answer((event) => send(eventJson(event)), signal);
        send({ event: "done", data: answered });
      },
      failed: ({ status, code, message, hint }) => ({
        event: "error",
        data: { status, code, detail: message, ...(hint === undefined ? {} : { hint }) },
      }),
    });
  });
}

function eventJson(event: ToldEvent): ServerSentEvent {
  switch (event.type) {
    case "sources":
      return { event: "sources", data: event.sources.map(sourceJson) };
    case "delta":
      return { event: "delta", data: { text: event.text } };
    case "citation":
      return { event: "citation", data: citationJson(event.citation) };
  }
}
