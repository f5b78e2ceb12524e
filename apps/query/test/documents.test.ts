import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { loadConfig } from "@millrace/runtime";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

/** Documents over HTTP, on the running system: uploads, their progress, their chunks, their end. */
const command = fileURLToPath(new URL("../../ingest/bin/millrace.js", import.meta.url));
const run = promisify(execFile);
const port = "7481";

let home: string;
let env: NodeJS.ProcessEnv;
let adminKey: string;
let project: string;
let counter = 0;

type Json = Record<string, unknown>;

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
  /** `body.data`, empty where there is none. */
  readonly data: readonly Json[];
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-http-"));
  env = {
    ...process.env,
    MILLRACE_HOME: home,
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: port,
    MILLRACE_DASHBOARD_PORT: "7482",
    MILLRACE_DOCUMENT_BYTES_MAX: "200000",
    MILLRACE_QUEUE_BYTES_MAX: "1000000",
  };
  await run(process.execPath, [command, "up", "--detach"], { env });
  adminKey = (await readFile(join(home, "admin.key"), "utf8")).trim();
});

afterAll(async () => {
  await run(process.execPath, [command, "down"], { env });
  await rm(home, { recursive: true, force: true });
});

beforeEach(() => {
  project = `http-${++counter}`;
});

async function call(method: string, path: unknown, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const json = body === undefined || body instanceof FormData ? {} : { "content-type": "application/json" };
  const response = await fetch(`http://127.0.0.1:${port}${String(path)}`, {
    method,
    headers: { authorization: `Bearer ${adminKey}`, "x-millrace-project": project, ...json, ...headers },
    ...(body === undefined ? {} : { body: body instanceof FormData ? body : JSON.stringify(body) }),
  });
  const parsed = (await response.json()) as Json;
  return { status: response.status, headers: response.headers, body: parsed, data: (parsed["data"] ?? []) as Json[] };
}

/** The events of an ingest until its end. */
async function events(path: unknown, headers: Record<string, string> = {}): Promise<{ id: string; event: string; data: Json }[]> {
  const response = await fetch(`http://127.0.0.1:${port}${String(path)}`, {
    headers: { authorization: `Bearer ${adminKey}`, "x-millrace-project": project, ...headers },
  });
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  const field = (block: string, name: string): string => new RegExp(`^${name}: ?(.*)$`, "m").exec(block)?.[1] ?? "";
  const blocks = (await response.text()).split("\n\n").filter((block) => block.includes("event:"));
  return blocks.map((block) => ({ id: field(block, "id"), event: field(block, "event"), data: JSON.parse(field(block, "data")) as Json }));
}

/** Posts and waits until the document has settled. */
async function upload(body: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const reply = await call("POST", "/v1/documents", body, headers);
  if (reply.status === 202) await events(reply.body["events_url"]);
  return reply;
}

test("a text becomes a document that is found, by its metadata too, and its progress is told", async () => {
  const reply = await call("POST", "/v1/documents", {
    text: "# Lighthouses\n\nA lighthouse keeper trims the lamp at dusk.\n",
    source: "keepers.md",
    metadata: { topic: "sea", year: 1911 },
  });
  expect(reply.status).toBe(202);
  expect(reply.body).toMatchObject({ object: "document", source: "keepers.md", outcome: "added", media_type: "text/markdown" });
  const told = await events(reply.body["events_url"]);
  expect(told.map(({ event, data }) => `${event} ${data["state"] ?? ""}`)).toEqual(
    expect.arrayContaining(["document queued", "document parsing", "document embedding", "document live", "done "]),
  );
  expect(told.at(-1)?.event).toBe("done");
  const again = await events(reply.body["events_url"], { "last-event-id": told[1]?.id ?? "" });
  expect(again.map(({ id }) => id)).toEqual(told.slice(2).map(({ id }) => id));

  const status = await call("GET", reply.body["status_url"]);
  expect(status.body).toMatchObject({ state: "live", chunks: 1, metadata: { topic: "sea", year: 1911 } });
  const chunks = await call("GET", `${reply.body["status_url"]}/chunks`);
  expect(chunks.body).toMatchObject({ object: "list", total: 1, next_offset: null, data: [{ ordinal: 0, headings: ["Lighthouses"] }] });
  const search = (filter: unknown): Promise<Reply> => call("POST", "/v1/search", { query: "who lights the lamp", filter });
  expect((await search({ type: "eq", key: "metadata.topic", value: "sea" })).data).toHaveLength(1);
  expect((await search({ type: "gt", key: "metadata.year", value: 2000 })).data).toHaveLength(0);
});

test("a file is uploaded, replaced under its name, listed in pages and deleted for the very next search", async () => {
  const form = (name: string, text: string): FormData => {
    const data = new FormData();
    data.set("file", new Blob([text], { type: "text/html" }), name);
    data.set("metadata", JSON.stringify({ team: "web" }));
    return data;
  };
  const first = await upload(form("page.html", "<h1>Ferns</h1><p>Ferns grow in the shade.</p>"));
  expect(first.status).toBe(202);
  expect((await upload(form("page.html", "<h1>Ferns</h1><p>Ferns grow in the shade.</p>"))).body).toMatchObject({ outcome: "unchanged" });
  expect((await upload(form("page.html", "<h1>Ferns</h1><p>Moss likes it wet.</p>"))).body).toMatchObject({ outcome: "updated" });
  await upload({ text: "Granite is hard.", source: "stone.txt" });
  const page = await call("GET", "/v1/documents?limit=1");
  expect(page.data).toMatchObject([{ source: "page.html", state: "live" }]);
  expect(page.data[0]).not.toHaveProperty("origin");
  const next = await call("GET", `/v1/documents?limit=1&cursor=${encodeURIComponent(String(page.body["next_cursor"]))}`);
  expect(next.data).toMatchObject([{ source: "stone.txt" }]);
  expect((await call("GET", "/v1/documents?state=failed")).data).toEqual([]);
  const texts = async (): Promise<string[]> =>
    (await call("POST", "/v1/search", { query: "what grows" })).data.map((hit) => String(hit["text"]));
  expect((await texts()).join()).toContain("Moss");
  expect((await texts()).join()).not.toContain("shade");
  expect((await call("DELETE", first.body["status_url"])).body).toMatchObject({ deleted: true, source: "page.html" });
  expect(await texts()).toEqual(["Granite is hard."]);
  expect((await call("GET", first.body["status_url"])).status).toBe(404);
  expect((await call("DELETE", first.body["status_url"])).status).toBe(404);
});

test("an Idempotency-Key gives the first reply again, and refuses another request", async () => {
  const body = { text: "Once and only once.", source: "once.md" };
  const first = await upload(body, { "idempotency-key": "k1" });
  expect(await upload(body, { "idempotency-key": "k1" })).toMatchObject({ status: 202, body: first.body });
  expect(await upload({ ...body, text: "Something else." }, { "idempotency-key": "k1" })).toMatchObject({
    status: 422,
    body: { code: "idempotency.reused" },
  });
  const many = await Promise.all(
    Array.from({ length: 20 }, () =>
      call("POST", "/v1/documents", { text: "Many at once.", source: "many.md" }, { "idempotency-key": "k2" }),
    ),
  );
  for (const { status } of many) expect([202, 409]).toContain(status);
  expect(new Set(many.filter(({ status }) => status === 202).map(({ body: { ingest_id: id } }) => id)).size).toBe(1);
});

test("wrong uploads are refused with what is wrong, and leave nothing behind", async () => {
  const large = new FormData();
  large.set("file", new Blob(["x".repeat(300_000)]), "large.txt");
  const nothing = new FormData();
  nothing.set("source", "a.md");
  for (const [body, status, code] of [
    [{ source: "a.md" }, 400, "document.missing"],
    [nothing, 400, "document.missing"],
    [{ text: "x", source: "a.exe" }, 415, "document.unsupported_type"],
    [{ text: "x", source: "a\u0000.md" }, 400, "document.invalid_source"],
    [{ text: "x", source: "s".repeat(2_000) }, 400, "document.invalid_source"],
    [{ text: "x", source: "a.md", metadata: { "bad key": 1 } }, 400, "metadata.invalid"],
    [{ text: "x", source: "a.md", metadata: { nested: { a: 1 } } }, 400, "metadata.invalid"],
    [{ text: "x", source: "a.md", metadata: { big: "y".repeat(20_000) } }, 400, "metadata.too_large"],
    [{ text: "x".repeat(250_000), source: "a.md" }, 413, "document.too_large"],
    [large, 413, "document.too_large"],
  ] as const) {
    const reply = await call("POST", "/v1/documents", body);
    expect({ status: reply.status, code: reply.body["code"] }).toEqual({ status, code });
    expect(reply.headers.get("content-type")).toContain("application/problem+json");
  }
  const hash = createHash("sha256").update("x".repeat(200_000)).digest("hex");
  await expect(readFile(join(home, "blobs", hash.slice(0, 2), hash.slice(2)))).rejects.toThrow("ENOENT");
  expect((await call("GET", "/v1/documents")).data).toEqual([]);
  expect((await call("GET", "/v1/documents?state=lost")).status).toBe(400);
  expect((await call("GET", "/v1/documents?limit=0")).status).toBe(400);
  expect((await call("GET", "/v1/ingests/none/events")).status).toBe(404);
});

test("a project's key sees its own documents only, and one that may read may not write", async () => {
  const foreign = await upload({ text: "A secret of the first project.", source: "secret.md" });
  const newKey = async (...scopes: string[]): Promise<string> => {
    const args = ["keys", "create", "--project", "other", "--json", ...scopes.flatMap((scope) => ["--scope", scope])];
    const { stdout } = await run(process.execPath, [command, ...args], { env });
    return (JSON.parse(stdout) as { key: string }).key;
  };
  const key = { authorization: `Bearer ${await newKey("read", "ingest")}`, "x-millrace-project": "other" };
  const { status_url: url, events_url: stream } = foreign.body;
  expect((await call("GET", "/v1/documents", undefined, key)).data).toEqual([]);
  for (const [method, path] of [
    ["GET", url],
    ["DELETE", url],
    ["GET", `${String(url)}/chunks`],
    ["GET", stream],
  ] as const) {
    expect((await call(method, path, undefined, key)).status).toBe(404);
    expect((await call(method, path, undefined, { ...key, "x-millrace-project": project })).status).toBe(404);
  }
  const reader = { authorization: `Bearer ${await newKey("read")}`, "x-millrace-project": "other" };
  expect((await call("POST", "/v1/documents", { text: "x", source: "x.md" }, reader)).status).toBe(403);
  expect((await call("GET", "/v1/documents", undefined, reader)).status).toBe(200);
  expect((await call("GET", url, undefined)).status).toBe(200);
});
