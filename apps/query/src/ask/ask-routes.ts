import { InvalidInputError, limits, type ProjectName, parseAskRequest } from "@millrace/core";
import type { Principal } from "@millrace/ledger";
import type { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { Refusal } from "../problem.ts";
import { bodyTooLarge } from "../search-endpoint.ts";
import { answerJson, citationJson, sourceJson } from "./answer-json.ts";
import type { Answering, ToldEvent } from "./answering.ts";
import type { ServerSentEvent } from "./event-stream.ts";

type Env = { Variables: { principal: Principal; project: ProjectName } };

/** `POST /v1/ask`, on an app that has authenticated the request. */
export function addAskRoutes(app: Hono<Env>, answering: Answering): void {
  const limitBody = bodyLimit({
    maxSize: limits.requestBodyBytesMax,
    onError: () => {
      throw bodyTooLarge();
    },
  });
  app.post("/v1/ask", limitBody, async (context) => {
    const asker = context.get("principal");
    if (!asker.scopes.includes("read")) throw new Refusal(403, "key.scope", "The key may not read");
    const body: unknown = await context.req.json().catch(() => {
      throw new InvalidInputError("request.malformed", "The body is not JSON");
    });
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
