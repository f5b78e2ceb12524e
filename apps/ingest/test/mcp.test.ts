import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { loadConfig } from "@millrace/runtime";
import { freePort } from "@millrace/testing";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { getDefaultEnvironment, StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { afterAll, beforeAll, expect, test } from "vitest";

/** `millrace mcp` as a desktop client runs it: a process that is spoken to on its stdin and stdout, on the whole system. */
const command = fileURLToPath(new URL("../bin/millrace.js", import.meta.url));
const run = promisify(execFile);
let folder: string;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-mcp-"));
  env = {
    ...getDefaultEnvironment(),
    MILLRACE_HOME: join(folder, "home"),
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: String(await freePort()),
    MILLRACE_DASHBOARD_PORT: String(await freePort()),
  };
  await mkdir(join(folder, "docs"));
  await writeFile(join(folder, "docs", "tides.md"), "# Tides\n\nThe moon pulls the sea, so the tide rises twice a day.\n");
  await writeFile(join(folder, "other.md"), "# Secret\n\nThe tide of another project.\n");
  await run(process.execPath, [command, "ingest", join(folder, "docs"), "--project", "sea"], { env });
  await run(process.execPath, [command, "ingest", join(folder, "other.md"), "--project", "other"], { env });
}, 180_000);
afterAll(async () => {
  await run(process.execPath, [command, "down"], { env });
  await rm(folder, { recursive: true, force: true });
});

test("a desktop client searches, asks, lists and reads, in its project alone", async () => {
  const client = new Client({ name: "desktop", version: "1" });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [command, "mcp", "--project", "sea"],
    env,
    stderr: "pipe",
  });
  await client.connect(transport as never);
  try {
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name).sort()).toEqual(["ask", "list_documents", "read_document", "search"]);
    const call = async (name: string, args: Record<string, unknown>) =>
      (await client.callTool({ name, arguments: args })).structuredContent;
    expect(await call("search", { query: "why does the ocean go up and down" })).toMatchObject({
      hits: [{ source: "tides.md", headings: ["Tides"] }],
    });
    expect(await call("ask", { question: "What pulls the sea?" })).toMatchObject({
      answer: expect.stringContaining("The moon pulls the sea"),
      mode: "extractive",
      citations: [{ n: 1, source: "tides.md" }],
    });
    expect(await call("list_documents", {})).toMatchObject({
      documents: [{ source: "tides.md", state: "live", media_type: "text/markdown" }],
      next_cursor: null,
    });
    expect(await call("read_document", { document: "tides.md" })).toMatchObject({
      text: "Tides\n\nThe moon pulls the sea, so the tide rises twice a day.",
      total_chunks: 1,
    });
    expect(await client.callTool({ name: "read_document", arguments: { document: "other.md" } })).toMatchObject({ isError: true });
  } finally {
    await client.close();
  }
}, 60_000);

test("nothing but messages goes to stdout, and it ends with its stdin", async () => {
  const child = spawn(process.execPath, [command, "mcp", "--project", "sea"], { env, stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  child.stdout.on("data", (part: Buffer) => {
    stdout += part.toString();
  });
  const message = (id: number, method: string, params: unknown): void =>
    void child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
  message(1, "initialize", { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "test", version: "1" } });
  await expect.poll(() => stdout.split("\n").length, { timeout: 20_000 }).toBeGreaterThan(1);
  message(2, "tools/call", { name: "search", arguments: { query: "tide" } });
  child.stdin.write("not a message\n");
  await expect.poll(() => stdout.split("\n").length, { timeout: 20_000 }).toBeGreaterThan(2);
  const closed = new Promise((resolve) => child.once("close", resolve));
  child.stdin.end();
  expect(await closed).toBe(0);
  const replies = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { jsonrpc: string; id: number });
  expect(replies.map(({ jsonrpc, id }) => [jsonrpc, id])).toEqual([
    ["2.0", 1],
    ["2.0", 2],
  ]);
}, 60_000);

test("a service that does not answer is told of as an error of the call", async () => {
  const away = { ...env, REDIS_QUEUE_URL: "redis://127.0.0.1:1", MILLRACE_HOME: join(folder, "none"), MILLRACE_PORT: "1" };
  const client = new Client({ name: "desktop", version: "1" });
  const transport = new StdioClientTransport({ command: process.execPath, args: [command, "mcp"], env: away, stderr: "pipe" });
  await expect(client.connect(transport as never)).rejects.toThrow(/query service at http:\/\/127\.0\.0\.1:1 did not answer/);
  await client.close();
}, 60_000);
