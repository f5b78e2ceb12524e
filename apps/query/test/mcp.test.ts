import { createLogger } from "@millrace/runtime";
import { llmScripts, type ScriptedLlm, says, startScriptedLlm } from "@millrace/testing";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { ServedLanguageModel } from "../src/llm/language-model.ts";
import { noQuotas, startService, type TestService } from "./service.ts";

/** The MCP SDK's own client against the service. It checks what tools give against their output schemas. */
let llm: ScriptedLlm;
let model: ServedLanguageModel;
let service: TestService;
let bees: string;
const clients: Client[] = [];
const question = "how do bees tell where flowers are";

beforeAll(async () => {
  llm = await startScriptedLlm();
  model = new ServedLanguageModel({
    ...{ baseUrl: llm.baseUrl, apiKey: undefined, models: ["served"], contextTokensMax: 2_048, answerTokensMax: 256 },
    ...{ connectTimeoutMs: 500, firstTokenTimeoutMs: 20_000, totalTimeoutMs: 20_000, logger: createLogger("test", "silent") },
  });
  service = await startService({ languageModel: model, quotas: { ...noQuotas, key: { ...noQuotas.key, requests: 2 } } });
  bees = await service.put(
    "hive",
    "bees.md",
    "Honey bees dance to tell each other where the flowers are.",
    "A hive is warm in winter.",
    "Wax is made by bees.",
  );
  await service.put("hive", "notes/tides.md", "The moon pulls the water of the oceans.");
  await service.put("other", "secret.md", "Honey bees of another project keep a secret about flowers.");
});
afterAll(async () => {
  await service.close();
  await model.close();
  await llm.close();
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

async function connect(key: string, headers: Record<string, string> = {}): Promise<Client> {
  const client = new Client({ name: "test", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${key}`, ...headers } },
  });
  await client.connect(transport as never);
  await client.listTools(); // from now on it checks the tools' output
  clients.push(client);
  return client;
}

type Structured = Record<string, unknown>;
const call = async (client: Client, name: string, args: Structured): Promise<Structured> => {
  const result = await client.callTool({ name, arguments: args });
  expect(result.isError ?? false, JSON.stringify(result.content)).toBe(false);
  return result.structuredContent as Structured;
};
const failure = async (client: Client, name: string, args: Structured): Promise<string> => {
  const result = await client.callTool({ name, arguments: args });
  expect(result).toMatchObject({ isError: true, content: [{ type: "text" }] });
  return (result.content as { text: string }[])[0]?.text ?? "";
};

test("has four tools, all of which only read and say what they give", async () => {
  const client = await connect(await service.newKey("hive"));
  expect(client.getServerVersion()).toMatchObject({ name: "millrace" });
  const { tools } = await client.listTools();
  expect(tools.map(({ name }) => name).sort()).toEqual(["ask", "list_documents", "read_document", "search"]);
  for (const tool of tools) {
    expect(tool.annotations).toMatchObject({ readOnlyHint: true, openWorldHint: false });
    expect(tool.inputSchema.type).toBe("object");
    expect(Object.keys(tool.outputSchema?.properties ?? {}).length).toBeGreaterThan(0);
    expect(tool.description).toBeTruthy();
  }
});

test("searches, and reads on around what it found", async () => {
  const client = await connect(await service.newKey("hive"));
  const { hits } = (await call(client, "search", { query: question, top_k: 1 })) as { hits: Structured[] };
  expect(hits).toMatchObject([{ document_id: bees, source: "bees.md", ordinal: 0, page: null }]);
  const text = "Honey bees dance to tell each other where the flowers are.\nA hive is warm in winter.";
  expect(await call(client, "read_document", { document: "bees.md", limit: 2 })).toMatchObject({ text, total_chunks: 3, next_offset: 2 });
  expect(await call(client, "read_document", { document: bees, offset: 2 })).toMatchObject({
    text: "Wax is made by bees.",
    next_offset: null,
  });
  const { documents } = (await call(client, "list_documents", {})) as { documents: Structured[] };
  expect(documents.map(({ source }) => source)).toEqual(["bees.md", "notes/tides.md"]);
  const page = (await call(client, "list_documents", { limit: 1 })) as { documents: Structured[]; next_cursor: string };
  const next = (await call(client, "list_documents", { limit: 1, cursor: page.next_cursor })) as { documents: Structured[] };
  expect([...page.documents, ...next.documents].map(({ source }) => source)).toEqual(["bees.md", "notes/tides.md"]);
  expect(await call(client, "list_documents", { prefix: "notes/" })).toMatchObject({
    documents: [{ source: "notes/tides.md", state: "live" }],
  });
});

test("asks, with citations", async () => {
  llm.play(says("They dance [1]."));
  const client = await connect(await service.newKey("hive"));
  expect(await call(client, "ask", { question })).toMatchObject({
    answer: "They dance [1].",
    mode: "generated",
    model: "served",
    citations: [{ n: 1, source: "bees.md", document_id: bees }],
  });
});

test("sees the project of its key and nothing of any other", async () => {
  const client = await connect(await service.newKey("hive"));
  expect(JSON.stringify(await call(client, "search", { query: "secret of another project", top_k: 10 }))).not.toContain("secret.md");
  const stranger = await connect(await service.newKey("other"));
  const { documents } = (await call(stranger, "list_documents", {})) as { documents: Structured[] };
  expect(documents.map(({ source }) => source)).toEqual(["secret.md"]);
  for (const document of ["bees.md", bees]) expect(await failure(stranger, "read_document", { document })).toContain("document.unknown");
  llm.play(says("Nothing."));
  await call(stranger, "ask", { question });
  expect(JSON.stringify(llm.requests)).not.toContain("waggle");
  expect(JSON.stringify(llm.requests)).not.toContain("bees.md");
  await expect(connect(await service.newKey("other"), { "x-millrace-project": "hive" })).rejects.toThrow(/project\.unknown/);
  const admin = await connect(await service.newKey(), { "x-millrace-project": "hive" });
  expect(await call(admin, "list_documents", { prefix: "bees" })).toMatchObject({ documents: [{ source: "bees.md" }] });
});

test("is for those with a key that may read", async () => {
  await expect(connect("mr_wrong")).rejects.toThrow(/key\.invalid/);
  await expect(connect(await service.newKey("hive", ["ingest"]))).rejects.toThrow(/key\.scope/);
  const headers = { authorization: `Bearer ${await service.newKey("hive")}` };
  expect((await fetch(`${service.url}/mcp`, { headers })).status).toBe(405);
  expect((await fetch(`${service.url}/mcp`, { method: "POST", headers, body: "x".repeat(100_000) })).status).toBe(413);
});

test("tells what is wrong, so that a model can do better", async () => {
  const client = await connect(await service.newKey("hive"));
  expect(await failure(client, "search", { query: " " })).toContain("query.empty");
  expect(await failure(client, "search", { query: "x", filter: { type: "like", key: "source", value: "a" } })).toContain("filter.invalid");
  expect(await failure(client, "search", { query: "x", top_k: 1_000 })).toContain("top_k");
  expect(await failure(client, "read_document", { document: "none.md" })).toContain("document.unknown");
  llm.play(says("They dance [1]."));
  for (let each = 0; each < 2; each++) await call(client, "ask", { question });
  expect(await failure(client, "ask", { question })).toContain("quota.requests");
});

test("a client that leaves takes the model's work with it", async () => {
  llm.play(llmScripts["falls silent in the middle"] ?? says(""));
  const client = await connect(await service.newKey("hive"));
  const asked = client.callTool({ name: "ask", arguments: { question: `${question} now` } }).catch((error: unknown) => error);
  await vi.waitFor(() => expect(llm.open).toBe(1), 20_000);
  await client.close();
  await asked;
  await vi.waitFor(() => expect(llm.open).toBe(0), 20_000);
});
