import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { z } from "@hono/zod-openapi";
import type * as client from "@millrace/client";
import { ApiError, isServiceReady, MillraceClient } from "@millrace/client";
import { loadConfig } from "@millrace/runtime";
import { makeOverlapReranker } from "@millrace/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import type * as schemas from "../src/openapi.ts";
import { OpenApiDocument } from "./openapi-document.ts";

/**
 * One contract, said three times: what `/openapi.json` describes, what the running service answers, and what the client's types promise. Here each is held
 * against the next.
 */
const command = fileURLToPath(new URL("../../ingest/bin/millrace.js", import.meta.url));
const run = promisify(execFile);
const port = "7485";
const url = `http://127.0.0.1:${port}`;

let home: string;
let env: NodeJS.ProcessEnv;
let document: OpenApiDocument;
let admin: MillraceClient;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-contract-"));
  makeOverlapReranker(join(home, "reranker"));
  env = {
    ...process.env,
    MILLRACE_RERANKER: join(home, "reranker"),
    MILLRACE_HOME: home,
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: port,
    MILLRACE_DASHBOARD_PORT: "7486",
  };
  await run(process.execPath, [command, "up", "--detach"], { env });
  document = new OpenApiDocument(await (await fetch(`${url}/openapi.json`)).json());
  admin = clientWith((await readFile(join(home, "admin.key"), "utf8")).trim());
});
afterAll(async () => {
  await run(process.execPath, [command, "down"], { env });
  await rm(home, { recursive: true, force: true });
});

/** Every request and reply is held against the document. */
function clientWith(apiKey: string): MillraceClient {
  const checked: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    await document.check(init?.method ?? "GET", new URL(String(input)).pathname, init?.body, response.clone());
    return response;
  };
  return new MillraceClient({ url, apiKey, project: "contract", fetch: checked, retriesMax: 0 });
}

async function refusal(call: Promise<unknown>): Promise<[number, string]> {
  const error: unknown = await call.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!(error instanceof ApiError)) throw error ?? new Error("it did not fail");
  return [error.status, error.code];
}

async function all<T>(generator: AsyncGenerator<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of generator) found.push(each);
  return found;
}

test("the service answers as it is described, and the client knows every route", { timeout: 120_000 }, async () => {
  const text = "# Mills\n\nA mill grinds corn.\n\n## Wheels\n\nThe wheel turns in the river.\n";
  const uploaded = await admin.upload({ text, source: "mills.md", metadata: { topic: "mills", year: 1911, tags: ["a", "b"], old: true } });
  const events = await all(admin.ingestEvents(uploaded.ingest_id));
  expect(events.at(-1)).toMatchObject({ source: "mills.md", state: "live" });
  const file = await admin.upload({ file: new Blob(["not a PDF"]), name: "broken.pdf" });
  expect((await all(admin.ingestEvents(file.ingest_id))).at(-1)).toMatchObject({ state: "failed" });
  expect((await admin.upload({ text, source: "mills.md", metadata: uploaded.metadata })).outcome).toBe("unchanged");

  expect((await all(admin.documents())).map(({ source }) => source)).toEqual(["broken.pdf", "mills.md"]);
  expect((await admin.listDocuments({ state: "live", prefix: "m", limit: 1 })).data).toHaveLength(1);
  const { document_id: id } = await admin.document(uploaded.document_id);
  expect((await admin.chunks(id, { limit: 1 })).data[0]?.text).toContain("A mill grinds corn.");

  const plain = await admin.search({ query: "what grinds corn" });
  expect(plain.data[0]).toMatchObject({ source: "mills.md", document_id: id });
  const { data } = await admin.search({
    ...{ query: "what grinds corn", top_k: 2, mode: "hybrid", weights: { dense: 1, keyword: 0.5 }, min_score: 0.1, diversity: 0.3 },
    ...{ group_by: "document", group_size: 2, expand: "section", highlight: true },
    filter: { type: "and", filters: [{ type: "eq", key: "metadata.year", value: 1911 }] },
  });
  expect(data[0]).toMatchObject({ highlights: expect.arrayContaining([expect.anything()]), context: { cut: false } });
  const [reranked] = (await admin.search({ query: "a wheel in the river", rerank: true, min_score: 0.9 })).data;
  expect(reranked).toMatchObject({ source: "mills.md", standings: { retrieved: { rank: 1 } } });
  for (const mode of ["dense", "keyword"] as const) expect((await admin.search({ query: "corn", mode, expand: 1 })).data).not.toEqual([]);

  const asked = { question: "What does a mill grind?", session_id: "mills", trace: true };
  expect(await admin.ask(asked)).toMatchObject({ mode: "extractive", session_id: "mills" });
  expect((await admin.sessions()).data).toMatchObject([{ session_id: "mills", turns: 1 }]);
  expect((await admin.session("mills")).turns).toMatchObject([{ question: asked.question }]);
  expect(await admin.deleteSession("mills")).toMatchObject({ deleted: true });
  const told = await all(admin.askStream({ question: "What turns in the river?" }));
  expect(told.map(({ event }) => event)).toEqual(expect.arrayContaining(["sources", "delta", "citation", "done"]));
  for (const { event, data: sent } of told) {
    if (event === "done") document.checkComponent("Answer", sent);
    if (event === "citation") document.checkComponent("Citation", sent);
  }
  expect((await admin.embed({ input: ["a", "b"], input_type: "query" })).data).toHaveLength(2);
  expect((await admin.embed({ input: "a", encoding_format: "base64" })).data[0]?.embedding).toEqual(expect.any(String));

  await expect.poll(async () => (await admin.usage()).total.searches, { timeout: 10_000 }).toBeGreaterThan(0);
  expect(await admin.usage({ from: "2026-01-01", to: "2026-01-31" })).toMatchObject({ data: [] });

  expect(await isServiceReady(url)).toBe(true);
  expect(await admin.metrics()).toContain("millrace_");
  for (const path of ["/healthz", "/readyz", "/openapi.json"]) await document.check("GET", path, undefined, await fetch(url + path));
  expect(await admin.deleteDocument(id)).toMatchObject({ deleted: true, source: "mills.md" });
  // OpenAI's own clients speak these, and MCP's the last.
  expect(document.routesWithoutSuccess()).toEqual(["POST /v1/chat/completions", "GET /v1/models", "GET /v1/models/{id}", "POST /mcp"]);
});

test("refusals are as they are described", async () => {
  expect(await refusal(clientWith("mr_wrong").search({ query: "q" }))).toEqual([401, "key.invalid"]);
  expect(await refusal(admin.search({ query: "q", top_k: 0 }))).toEqual([400, "query.top_k"]);
  expect(await refusal(admin.search({ query: "x".repeat(100_000) }))).toEqual([413, "request.too_large"]);
  expect(await refusal(admin.ask({ question: "" }))).toEqual([400, "query.empty"]);
  expect(await refusal(admin.session("none"))).toEqual([404, "session.unknown"]);
  expect(await refusal(admin.embed({ input: "a", model: "other" }))).toEqual([404, "model.unknown"]);
  expect(await refusal(admin.document("0".repeat(32)))).toEqual([404, "document.unknown"]);
  expect(await refusal(admin.deleteDocument("0".repeat(32)))).toEqual([404, "document.unknown"]);
  expect(await refusal(admin.chunks("none"))).toEqual([404, "document.unknown"]);
  expect(await refusal(admin.upload({ text: "t", source: "a.xyz" }))).toEqual([415, "document.unsupported_type"]);
  expect(await refusal(all(admin.ingestEvents("none")))).toEqual([404, "ingest.unknown"]);
  expect(await refusal(admin.listDocuments({ limit: 0 }))).toEqual([400, "request.invalid_parameter"]);
  const writer = JSON.parse(
    (await run(process.execPath, [command, "keys", "create", "--project", "contract", "--scope", "ingest", "--json"], { env })).stdout,
  ) as {
    readonly key: string;
  };
  const ingesting = clientWith(writer.key);
  expect(await refusal(ingesting.search({ query: "q" }))).toEqual([403, "key.scope"]);
  expect(await refusal(ingesting.listDocuments())).toEqual([403, "key.scope"]);
  expect(await refusal(ingesting.metrics())).toEqual([403, "key.not_admin"]);
});

/** Compiles only where the first can be used as the second. */
type Fits<Given extends Wanted, Wanted> = Given extends Wanted ? true : never;
type Schema<Name extends keyof typeof schemas> = (typeof schemas)[Name];
type Reply<Name extends keyof typeof schemas> = Schema<Name> extends z.ZodType ? Sent<z.output<Schema<Name>>> : never;
type Body<Name extends keyof typeof schemas> = Schema<Name> extends z.ZodType ? z.input<Schema<Name>> : never;
/** JSON has no undefined: what is optional is there or not. */
type Sent<T> = T extends readonly (infer Item)[]
  ? Sent<Item>[]
  : T extends object
    ? { [Key in keyof T]: Sent<Exclude<T[Key], undefined>> }
    : T;
/** A request is only read, so that its lists may be read-only. */
type Writable<T> = T extends readonly (infer Item)[]
  ? Writable<Item>[]
  : T extends object
    ? { -readonly [Key in keyof T]: Writable<T[Key]> }
    : T;

test("the client's types are those of the description", () => {
  // The compiler has checked each; a name that is missing on either side does not compile either.
  const replies: readonly [
    Fits<Reply<"searchResults">, client.SearchResults>,
    Fits<Reply<"answer">, client.Answer>,
    Fits<Reply<"embeddingList">, client.EmbeddingList>,
    Fits<Reply<"document">, client.Document>,
    Fits<Reply<"acceptedDocument">, client.UploadReply>,
    Fits<Reply<"chunk">, client.Chunk>,
    Fits<Reply<"usage">, client.Usage>,
    Fits<keyof client.SearchHit, keyof Reply<"searchResults">["data"][number]>,
    Fits<keyof Reply<"searchResults">["data"][number], keyof client.SearchHit>,
    Fits<keyof Reply<"document">, keyof client.Document>,
    Fits<keyof Reply<"answer">, keyof client.Answer>,
  ] = [true, true, true, true, true, true, true, true, true, true, true];
  const requests: readonly [
    Fits<Writable<client.SearchRequest>, Body<"searchRequest">>,
    Fits<Writable<client.AskRequest>, Body<"askRequest">>,
    Fits<Writable<client.EmbeddingRequest>, Body<"embeddingRequest">>,
    Fits<Writable<Extract<client.Upload, { text: string }>>, Body<"upload">>,
    Fits<keyof Body<"searchRequest">, keyof client.SearchRequest>,
    Fits<Exclude<keyof Body<"askRequest">, "stream">, keyof client.AskRequest>,
    Fits<keyof Body<"embeddingRequest">, keyof client.EmbeddingRequest>,
  ] = [true, true, true, true, true, true, true];
  expect([...replies, ...requests]).not.toContain(false);
});
