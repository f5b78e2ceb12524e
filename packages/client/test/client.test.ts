import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isMillraceError } from "@millrace/core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type ApiError, type AskEvent, type ClientOptions, isServiceReady, MillraceClient } from "../src/index.ts";

/** The client against a server that does as it is told: what it sends, repeats, gives up, and how it says so. */
type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

let server: Server;
let url: string;
/** One for each request, in order; the last for all that follow. */
let answers: Answer[];
let requests: { method: string; path: string; headers: IncomingMessage["headers"]; body: string }[];

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => {
      body += part.toString("latin1");
    });
    request.on("end", () => {
      requests.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers, body });
      (answers.length > 1 ? answers.shift() : answers[0])?.(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  requests = [];
});

const client = (options: Partial<ClientOptions> = {}): MillraceClient =>
  new MillraceClient({ url, apiKey: "mr_key", project: "notes", ...options });

const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
const problem = (status: number, code: string, headers: Record<string, string> = {}): Answer =>
  json(status, { type: `urn:millrace:problem:${code}`, status, detail: "It is so", code, hint: "Do this" }, headers);
const breaks: Answer = (request) => void request.socket.destroy();
const events =
  (...blocks: readonly string[]): Answer =>
  (_, response) =>
    response.writeHead(200, { "content-type": "text/event-stream" }).end(blocks.join(""));
const event = (name: string, data: unknown, id?: string): string =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

async function failure(call: Promise<unknown>): Promise<Pick<ApiError, "code" | "retryable" | "message"> & Partial<ApiError>> {
  const error: unknown = await call.then(
    () => new Error("it did not fail"),
    (caught: unknown) => caught,
  );
  if (!isMillraceError(error)) throw error;
  return error;
}

async function all<T>(generator: AsyncGenerator<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of generator) found.push(each);
  return found;
}

test("sends the key, the project and the request as they are", async () => {
  answers = [json(200, { object: "search_results", data: [] })];
  expect(await client().search({ query: "keys", top_k: 3, expand: "section" })).toEqual({ object: "search_results", data: [] });
  expect(requests).toMatchObject([
    { method: "POST", path: "/v1/search", headers: { authorization: "Bearer mr_key", "x-millrace-project": "notes" } },
  ]);
  expect(JSON.parse(requests[0]?.body ?? "")).toEqual({ query: "keys", top_k: 3, expand: "section" });
});

test("a refusal is an error with the service's own code, hint and status, and is not repeated", async () => {
  answers = [problem(400, "query.empty")];
  expect(await failure(client().search({ query: "" }))).toMatchObject({
    ...{ code: "query.empty", message: "It is so", hint: "Do this", status: 400, retryable: false },
  });
  expect(requests).toHaveLength(1);
});

test("what is no problem document is told as it is", async () => {
  answers = [(_, response) => response.writeHead(404, { "content-type": "text/html" }).end("<h1>nginx</h1>")];
  expect(await failure(client().search({ query: "q" }))).toMatchObject({ code: "http.404", message: "<h1>nginx</h1>", status: 404 });
});

test("a search is repeated after an outage, and as late as the service says", async () => {
  answers = [breaks, problem(503, "store.unavailable", { "retry-after": "1" }), json(200, { data: [] })];
  const startedAt = performance.now();
  expect(await client().search({ query: "q" })).toEqual({ data: [] });
  expect(requests).toHaveLength(3);
  expect(performance.now() - startedAt).toBeGreaterThan(1_000);
});

test("it is not repeated for ever, nor where the service wants to be left alone for long", async () => {
  answers = [problem(503, "store.unavailable", { "retry-after": "0" })];
  expect(await failure(client().search({ query: "q" }))).toMatchObject({ code: "store.unavailable", retryable: true, retryAfterMs: 0 });
  expect(requests).toHaveLength(3);
  requests = [];
  answers = [problem(429, "admission.refused", { "retry-after": "60" })];
  expect(await failure(client().search({ query: "q" }))).toMatchObject({ status: 429, retryAfterMs: 60_000 });
  expect(requests).toHaveLength(1);
});

test("a deletion is never repeated, and a question only where it was not taken", async () => {
  answers = [breaks];
  expect(await failure(client().deleteDocument("d"))).toMatchObject({ code: "query.unavailable" });
  expect(await failure(client().ask({ question: "why" }))).toMatchObject({ code: "query.unavailable" });
  expect(requests).toHaveLength(2);
  answers = [problem(429, "ask.too_many", { "retry-after": "0" }), json(200, { object: "answer" })];
  expect(await client().ask({ question: "why" })).toEqual({ object: "answer" });
});

test("an upload is repeated under one key, so that it is one document", async () => {
  answers = [breaks, json(202, { document_id: "d" })];
  await client().upload({ text: "the text", source: "a.md", metadata: { year: 1911 } });
  expect(new Set(requests.map(({ headers }) => headers["idempotency-key"])).size).toBe(1);
  expect(requests).toHaveLength(2);
  answers = [breaks, json(202, { document_id: "d" })];
  requests = [];
  await client().upload({ file: new Blob(["%PDF"]), name: "a.pdf", metadata: { year: 1911 } });
  expect(requests[1]?.headers["content-type"]).toMatch(/^multipart\/form-data/);
  expect(requests[1]?.body).toMatch(/name="metadata"\r\n\r\n\{"year":1911\}[\s\S]*filename="a.pdf"[\s\S]*%PDF/);
});

test("an attempt ends in time, and the caller may leave at any moment", async () => {
  answers = [() => undefined];
  expect(await failure(client({ timeoutMs: 50 }).search({ query: "q" }))).toMatchObject({ code: "query.timeout", retryable: true });
  expect(requests).toHaveLength(1);
  const leaving = new AbortController();
  answers = [() => leaving.abort(new Error("left"))];
  await expect(client().search({ query: "q" }, { signal: leaving.signal })).rejects.toThrow("left");
  answers = [problem(503, "store.unavailable", { "retry-after": "5" })];
  const whilePausing = new AbortController();
  const pausing = client().search({ query: "q" }, { signal: whilePausing.signal });
  setTimeout(() => whilePausing.abort(new Error("left")), 50);
  await expect(pausing).rejects.toThrow("left");
});

test("no service at the address is told with the reason", async () => {
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
  const nobody = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`;
  await new Promise((resolve) => closed.close(resolve));
  const nowhere = client({ url: nobody, retriesMax: 0 });
  expect(await failure(nowhere.search({ query: "q" }))).toMatchObject({
    code: "query.unavailable",
    message: expect.stringContaining("ECONNREFUSED"),
  });
  expect(await isServiceReady(nobody)).toBe(false);
});

test("the key does not follow a redirect", async () => {
  answers = [(_, response) => response.writeHead(307, { location: `${url}/elsewhere` }).end()];
  expect(await failure(client({ retriesMax: 0 }).search({ query: "q" }))).toMatchObject({ code: "query.unavailable" });
  expect(requests.map(({ path }) => path)).toEqual(["/v1/search"]);
});

test("an answer's events come as they are made, whatever their pieces", async () => {
  const done = { object: "answer", answer: "Because." };
  const sent = [
    ": hello\n\n",
    event("sources", []),
    event("delta", { text: "Be" }),
    event("delta", { text: "cause." }),
    event("done", done),
  ].join("");
  answers = [
    (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const bytes = Buffer.from(sent);
      for (let at = 0; at < bytes.length; at += 7) response.write(bytes.subarray(at, at + 7));
      response.end();
    },
  ];
  const found: AskEvent[] = await all(client().askStream({ question: "why" }));
  expect(found).toEqual([
    { event: "sources", data: [] },
    { event: "delta", data: { text: "Be" } },
    { event: "delta", data: { text: "cause." } },
    { event: "done", data: done },
  ]);
  expect(JSON.parse(requests[0]?.body ?? "")).toEqual({ question: "why", stream: true });
});

test("an answer that fails or breaks off is an error, not an end", async () => {
  answers = [events(event("delta", { text: "Be" }), event("error", { status: 503, code: "llm.cut", detail: "It broke" }))];
  expect(await failure(all(client().askStream({ question: "why" })))).toMatchObject({ code: "llm.cut", status: 503, retryable: true });
  answers = [events(event("delta", { text: "Be" }))];
  expect(await failure(all(client().askStream({ question: "why" })))).toMatchObject({ code: "query.cut" });
  answers = [
    (request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(event("delta", { text: "Be" }), () => request.socket.destroy());
    },
  ];
  expect(await failure(all(client().askStream({ question: "why" })))).toMatchObject({ code: "query.cut" });
});

test("the events of an ingest are taken up where they broke off", async () => {
  const first = (request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(event("document", { state: "parsing" }, "1-0"), () => request.socket.destroy());
  };
  answers = [first, events(event("document", { state: "live" }, "2-0"), event("done", { ingest_id: "i" }))];
  expect(await all(client().ingestEvents("i/1"))).toEqual([{ state: "parsing" }, { state: "live" }]);
  expect(requests.map(({ path, headers }) => [path, headers["last-event-id"]])).toEqual([
    ["/v1/ingests/i%2F1/events", undefined],
    ["/v1/ingests/i%2F1/events", "1-0"],
  ]);
  answers = [problem(404, "ingest.unknown")];
  expect(await failure(all(client().ingestEvents("none")))).toMatchObject({ code: "ingest.unknown" });
});

test("all documents are the pages one after another", async () => {
  answers = [json(200, { data: [{ source: "a" }], next_cursor: "c+1" }), json(200, { data: [{ source: "b" }], next_cursor: null })];
  expect(await all(client().documents({ state: "live", prefix: "ä/" }))).toEqual([{ source: "a" }, { source: "b" }]);
  expect(requests.map(({ path }) => path)).toEqual([
    "/v1/documents?state=live&prefix=%C3%A4%2F",
    "/v1/documents?state=live&prefix=%C3%A4%2F&cursor=c%2B1",
  ]);
});
