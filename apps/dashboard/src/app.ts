import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { HonoAdapter } from "@bull-board/hono";
import { serveStatic } from "@hono/node-server/serve-static";
import type { Principal } from "@millrace/ledger";
import type { Queue } from "bullmq";
import { Hono } from "hono";

export interface DashboardDeps {
  readonly keys: { verify(text: string): Promise<Principal | undefined> };
  readonly queues: readonly Queue[];
}

/**
 * Bull Board behind the API keys: it has no login of its own, and it can retry and remove jobs. A browser asks for the admin key as a password (any user
 * name); programs send it as a bearer token.
 */
export function createDashboard({ keys, queues }: DashboardDeps): Hono {
  const app = new Hono();
  app.get("/healthz", (context) => context.json({ status: "ok" }));

  app.use(async (context, next) => {
    const principal = await keys.verify(keyOf(context.req.header("authorization")));
    if (principal === undefined || principal.project !== undefined) {
      return context.text("The admin key of this installation is needed; any user name will do.\n", 401, {
        "www-authenticate": 'Basic realm="millrace", charset="UTF-8"',
      });
    }
    // A browser sends a remembered password with requests that other sites make it send: what changes something must come from our own pages.
    const site = context.req.header("sec-fetch-site");
    const origin = context.req.header("origin");
    const foreign =
      (site !== undefined && site !== "same-origin" && site !== "none") ||
      (origin !== undefined && origin !== new URL(context.req.url).origin);
    if (context.req.method !== "GET" && context.req.method !== "HEAD" && foreign) return context.text("Not from another site.\n", 403);
    await next();
    for (const [name, value] of Object.entries(securityHeaders)) context.res.headers.set(name, value);
  });

  const board = new HonoAdapter(serveStatic);
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue)),
    serverAdapter: board,
    options: { uiConfig: { boardTitle: "Millrace", hideRedisDetails: true } },
  });
  app.route("/", board.registerPlugin());
  return app;
}

const securityHeaders = {
  "content-security-policy":
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'",
  "x-frame-options": "DENY",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

function keyOf(header: string | undefined): string {
  const [scheme, credentials = ""] = (header ?? "").split(" ", 2);
  if (scheme === "Bearer") return credentials;
  if (scheme !== "Basic") return "";
  const decoded = Buffer.from(credentials, "base64").toString();
  return decoded.slice(decoded.indexOf(":") + 1);
}
