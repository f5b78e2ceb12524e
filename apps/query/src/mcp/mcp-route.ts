import { limits } from "@millrace/core";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import type { Hono } from "hono";
import { type Env, requireScope } from "../authenticate.ts";
import { limitBody } from "../request-body.ts";
import { largeBodyHint } from "../search-endpoint.ts";
import { createMcpServer, type McpDeps } from "./mcp-server.ts";

/**
 * MCP over streamable HTTP, on an app that has authenticated the request. Without sessions: each request has a server of its own, so that any process may
 * answer any of them, and nothing is kept between them.
 */
export function addMcpRoute(app: Hono<Env>, deps: McpDeps): void {
  app.post("/mcp", limitBody(limits.requestBodyBytesMax, largeBodyHint), async (context) => {
    const asker = context.get("principal");
    requireScope(asker, "read");
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
