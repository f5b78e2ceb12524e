import { errorMessage, parseProjectName } from "@millrace/core";
import { loadConfig, loadOrCreateAdminKey } from "@millrace/runtime";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";
import type { Command } from "commander";
import { queryUrl } from "../query-service.ts";
import { note } from "../terminal.ts";

export function addMcpCommand(program: Command): void {
  program
    .command("mcp")
    .description("An MCP server on stdin and stdout, for desktop clients: search, ask and read the documents of a project.")
    .option("-p, --project <slug>", "project", "default")
    .action(runMcp);
}

/** Passes messages on between stdin and stdout and the query service's `/mcp`, which has the tools. Only messages go to stdout. */
async function runMcp(options: { readonly project: string }): Promise<void> {
  const project = parseProjectName(options.project);
  const config = loadConfig();
  const url = new URL("/mcp", await queryUrl(config));
  const headers = { authorization: `Bearer ${await loadOrCreateAdminKey(config.home)}`, "x-millrace-project": project };
  const service = new StreamableHTTPClientTransport(url, { requestInit: { headers } });
  const client = new StdioServerTransport();

  const toClient = (message: JSONRPCMessage): void => void client.send(message).catch(() => undefined); // it has gone: stdin ends too
  client.onmessage = (message) => {
    service.send(message).catch((error: unknown) => {
      if (ended || !("method" in message && "id" in message)) return;
      const problem = `The query service at ${url.origin} did not answer: ${errorMessage(error)}`;
      toClient({ jsonrpc: "2.0", id: message.id, error: { code: -32_000, message: problem } });
    });
  };
  service.onmessage = (message) => {
    // Of the reply to `initialize`: later requests carry it in a header.
    const version = "result" in message ? message.result["protocolVersion"] : undefined;
    if (typeof version === "string") service.setProtocolVersion(version);
    toClient(message);
  };
  client.onerror = (error) => note(`millrace mcp: ${error.message}`);

  let ended = false;
  const stdinEnded = new Promise<void>((resolve) => process.stdin.once("end", resolve).once("close", resolve));
  await service.start();
  await client.start();
  await stdinEnded;
  ended = true;
  // What is under way ends with its client.
  await service.close();
  await client.close();
}
