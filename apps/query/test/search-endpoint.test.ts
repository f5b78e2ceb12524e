import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { AnswerCache, CacheRedis } from "@millrace/cache";
import { DependencyError, HashEmbedder, limits, MemoryVectorStore, parseProjectName, type StoreSearch } from "@millrace/core";
import { ApiKeys, Ledger } from "@millrace/ledger";
import { connectRedis, createLogger, newApiKeyText } from "@millrace/runtime";
import { startRedis, type TestRedis } from "@millrace/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Admission } from "../src/admission.ts";
import { createDirectSearch } from "../src/search-endpoint.ts";
import { serialiseHits } from "../src/serialise-hits.ts";

/** `POST /v1/search` on a real socket, with a real ledger and cache. */
let servers: TestRedis[];
let queue: ReturnType<typeof connectRedis>;
let cacheConnection: ReturnType<typeof connectRedis>;
let http: Server;
let url: string;
let key: string;
let statuses: number[];
/** What the store does; replaced by tests. */
let searchStore: (request: StoreSearch, signal: AbortSignal) => ReturnType<MemoryVectorStore["search"]>;
let counter = 0;
const store = new MemoryVectorStore(16);
const project = parseProjectName("p");

beforeAll(async () => {
  servers = [await startRedis(), await startRedis()];
  queue = connectRedis(servers[0]?.url ?? "", "queue", () => undefined);
  cacheConnection = connectRedis(servers[1]?.url ?? "", "cache", () => undefined);
  await new Promise((resolve) => cacheConnection.once("ready", resolve));
  const keys = new ApiKeys(queue);
  key = newApiKeyText();
  await keys.register(key, { project, scopes: ["read"], label: "test" });
  statuses = [];
  const direct = createDirectSearch({
    embedder: new HashEmbedder({ dimension: 16 }),
    store: Object.assign(Object.create(store) as MemoryVectorStore, {
      search: (request: StoreSearch, signal: AbortSignal) => searchStore(request, signal),
    }),
    ledger: new Ledger(queue),
    spaces: { of: async () => undefined },
    cache: new AnswerCache({ redis: new CacheRedis(cacheConnection), memoryBytesMax: 1_000_000, ttlSeconds: 60, emptyTtlSeconds: 60 }),
    keys,
    admission: new Admission({ runningMax: 1, waitingMax: 3, waitingPerProjectMax: 2 }),
    serialise: serialiseHits,
    quotas: { admitSearch: () => undefined },
    usage: { add: () => undefined },
    logger: createLogger("test", "silent"),
    metrics: {
      contentType: "",
      render: async () => "",
      observeStep: () => undefined,
      countAnswer: () => undefined,
      startRequest: () => (_route, status) => void statuses.push(status),
    },
    requestTimeoutMs: 2_000,
  });
  http = createServer(direct);
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/v1/search`;
});
afterAll(async () => {
  http.closeAllConnections();
  await new Promise((resolve) => http.close(resolve));
  queue.disconnect();
  cacheConnection.disconnect();
  for (const server of servers) await server.stop();
});
beforeEach(() => {
  searchStore = (request) => store.search(request, new AbortController().signal);
});

const post = (body: string, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> =>
  fetch(url, {
    method: "POST",
    body,
    headers: { authorization: `Bearer ${key}`, ...headers },
    ...(signal === undefined ? {} : { signal }),
  });
const ask = (query = `question ${++counter}`, signal?: AbortSignal): Promise<Response> =>
  post(JSON.stringify({ query, mode: "dense" }), {}, signal);
const jsonOf = async (response: Response): Promise<Record<string, unknown>> => (await response.json()) as Record<string, unknown>;

test("the second time an answer comes from the cache, with the same hits", async () => {
  const first = await ask("héllo wörld");
  expect(first.headers.get("content-type")).toBe("application/json");
  expect(await jsonOf(first)).toMatchObject({ object: "search_results", data: [], cache: "miss" });
  const second = await jsonOf(await ask("héllo wörld"));
  expect(second).toMatchObject({ object: "search_results", data: [], cache: "hit" });
  expect(second["took_ms"]).toBeGreaterThan(0);
});

test.each([
  [401, "key.invalid", () => post("{}", { authorization: "Bearer mr_wrong" })],
  [404, "project.unknown", () => post("{}", { "x-millrace-project": "other" })],
  [400, "request.malformed", () => post("{")],
  [400, "query.missing", () => post("{}")],
  [413, "request.too_large", () => post(`{"query":"${"x".repeat(limits.requestBodyBytesMax)}"}`)],
])("refuses with %i %s", async (status, code, send) => {
  const response = await send();
  expect(response.status).toBe(status);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await jsonOf(response)).toMatchObject({ status, code });
});

test("an outage is a 503, and the next answer is right", async () => {
  searchStore = async () => {
    throw new DependencyError("store.unavailable", "Milvus is away");
  };
  const during = await ask("during the outage");
  expect([during.status, during.headers.get("retry-after")]).toEqual([503, "2"]);
  expect(await jsonOf(during)).toMatchObject({ code: "store.unavailable" });
  searchStore = (request) => store.search(request, new AbortController().signal);
  expect(await jsonOf(await ask("during the outage"))).toMatchObject({ cache: "miss", data: [] });
});

test("too many searches are refused with a time to come back; cached ones are answered all the while", async () => {
  await ask("known");
  let finish = (): void => undefined;
  let begun = (): void => undefined;
  const started = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  searchStore = async () => {
    begun();
    await finished;
    return [];
  };
  const running = ask();
  await started;
  const others = [ask(), ask(), ask(), ask()];
  const refused = await Promise.race(
    others.map(async (each) => ((await each).status === 200 ? new Promise<never>(() => undefined) : each)),
  );
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(await jsonOf(await ask("known"))).toMatchObject({ cache: "hit" });
  finish();
  expect((await running).status).toBe(200);
  const settled = (await Promise.all(others)).map(({ status }) => status).sort();
  expect(settled).toEqual([200, 200, 429, 429]);
});

/** A store that answers nothing until it is told that nobody waits. */
const never: typeof searchStore = (_request, signal) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });

test("a search that takes too long is a 503", async () => {
  searchStore = never;
  const late = await ask();
  expect(late.status).toBe(503);
  expect(await jsonOf(late)).toMatchObject({ code: "request.timeout" });
});

test("one whose client leaves gives up its place", async () => {
  let begun = (): void => undefined;
  const started = new Promise<void>((resolve) => {
    begun = resolve;
  });
  searchStore = (request, signal) => {
    begun();
    return never(request, signal);
  };
  const leaving = new AbortController();
  const left = ask(undefined, leaving.signal).catch((error: unknown) => error);
  await started;
  leaving.abort();
  await left;
  searchStore = (request, signal) => store.search(request, signal);
  expect((await ask()).status).toBe(200);
});
