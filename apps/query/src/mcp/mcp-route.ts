import { limits, type ProjectName } from "@millrace/core";
import type { Principal } from "@millrace/ledger";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import type { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { Refusal } from "../problem.ts";
import { bodyTooLarge } from "../search-endpoint.ts";
import { createMcpServer, type McpDeps } from "./mcp-server.ts";

type Env = { Variables: { principal: Principal; project: ProjectName } };

/**
 * MCP over streamable HTTP, on an app that has authenticated the request. Without sessions: each request has a server of its own, so that any process may
 * answer any of them, and nothing is kept between them.
 */
export function addMcpRoute(app: Hono<Env>, deps: McpDeps): void {
  const limitBody = bodyLimit({
    maxSize: limits.requestBodyBytesMax,
    onError: () => {
      throw bodyTooLarge();
    },
  });
  app.post("/mcp", limitBody, async (context) => {
    const asker = context.get("principal");
    if (!asker.scopes.includes("read")) throw new Refusal(403, "key.scope", "The key may not read");
    const request = context.req.raw;
    const server = createMcpServer(asker, context.get("project"), deps);
    const transport = new WebStandardStreamableHTTPServerTransport({ keepAliveMs: limits.streamHeartbeatMs });
    await server.connect(transport);
    // Closing aborts what its tools are doing.
    request.signal.addEventListener("abort", () => void server.close(), { once: true });
    return transport.handleRequest(request);
  });
  // There is nothing to listen to and no session to end.
  app.all("/mcp", (context) => context.body(null, 405, { allow: "POST" }));
}
