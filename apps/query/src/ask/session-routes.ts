import { parseSessionId } from "@millrace/core";
import type { Ledger } from "@millrace/ledger";
import type { Context, Hono } from "hono";
import { type Env, requireScope } from "../authenticate.ts";
import { Refusal } from "../problem.ts";
import { type SessionOwner, type Sessions, withdrawDeleted } from "./sessions.ts";

export interface SessionRouteDeps {
  readonly sessions: Sessions;
  readonly ledger: Pick<Ledger, "liveGenerations">;
}

/** `GET /v1/sessions`, `GET` and `DELETE /v1/sessions/:id`, on an app that has authenticated the request. */
export function addSessionRoutes(app: Hono<Env>, deps: SessionRouteDeps): void {
  const { sessions } = deps;

  app.get("/v1/sessions", async (context) => {
    const found = await sessions.list(ownerOf(context));
    const data = found.map(({ sessionId, turns, updatedAt }) => ({
      object: "session",
      session_id: sessionId,
      turns,
      updated_at: new Date(updatedAt).toISOString(),
    }));
    return context.json({ object: "list", data });
  });

  app.get("/v1/sessions/:id", async (context) => {
    const owner = ownerOf(context);
    const sessionId = parseSessionId(context.req.param("id"));
    const turns = await withdrawDeleted(await sessions.turns(owner, sessionId), owner.project, deps.ledger);
    if (turns.length === 0) throw unknown();
    return context.json({
      object: "session",
      session_id: sessionId,
      turns: turns.map(({ question, standalone, answer, at }) => ({
        question,
        standalone_question: standalone,
        answer: answer ?? null,
        at: new Date(at).toISOString(),
      })),
    });
  });

  app.delete("/v1/sessions/:id", async (context) => {
    const sessionId = parseSessionId(context.req.param("id"));
    if (!(await sessions.delete(ownerOf(context), sessionId))) throw unknown();
    return context.json({ object: "session.deleted", session_id: sessionId, deleted: true });
  });
}

function ownerOf(context: Context<Env>): SessionOwner {
  const principal = context.get("principal");
  requireScope(principal, "read");
  return { project: context.get("project"), keyId: principal.keyId };
}

function unknown(): Refusal {
  return new Refusal(404, "session.unknown", "There is no such session of this key");
}
