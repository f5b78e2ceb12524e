import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { getRequestListener } from "@hono/node-server";
import { CacheRedis, QuestionCache } from "@millrace/cache";
import {
  type ChunkRecord,
  chunkIdOf,
  documentIdOf,
  HashEmbedder,
  limits,
  MemoryVectorStore,
  type ProjectName,
  parseProjectName,
} from "@millrace/core";
import type { Principal } from "@millrace/ledger";
import { connectRedis, createLogger, type Redis } from "@millrace/runtime";
import { breaksAfter, llmChunk, llmScripts, refuses, type ScriptedLlm, says, startRedis, startScriptedLlm } from "@millrace/testing";
import { Hono } from "hono";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Admission } from "../src/admission.ts";
import { Answering, type AnsweringDeps } from "../src/ask/answering.ts";
import { addAskRoutes } from "../src/ask/ask-routes.ts";
import { Sessions } from "../src/ask/sessions.ts";
import { ServedLanguageModel } from "../src/llm/language-model.ts";
import { replyTo } from "../src/problem.ts";
import { LocalQuotaStore } from "../src/quota/local-quota-store.ts";
import { Quotas } from "../src/quota/quotas.ts";
import { noQuotas } from "./service.ts";

/** Questions over a real socket, answered by a scripted language model over another. */
const project = parseProjectName("ask");
const embedder = new HashEmbedder({ dimension: 64 });
const store = new MemoryVectorStore(64);
const logger = createLogger("test", "silent");
const texts = {
  "bees.md": "Honey bees dance to tell each other where the flowers are. The dance is called waggle dance.",
  "tides.md": "The moon pulls the water of the oceans. Tides rise and fall twice a day.",
};
let llm: ScriptedLlm;
let redis: Redis;
let steps: string[];
const closers: (() => Promise<unknown>)[] = [];

type Json = Record<string, unknown>;
interface Event {
  readonly event: string;
  readonly data: Json;
}

function model(options: { models?: readonly string[]; silenceMs?: number; totalMs?: number; baseUrl?: string } = {}): ServedLanguageModel {
  const served = new ServedLanguageModel({
    baseUrl: options.baseUrl ?? llm.baseUrl,
    apiKey: "secret",
    models: options.models ?? ["first"],
    contextTokensMax: 8_192,
    answerTokensMax: 256,
    // Patient: a busy machine must not make a model slow that is not.
    connectTimeoutMs: 5_000,
    firstTokenTimeoutMs: options.silenceMs ?? 20_000,
    totalTimeoutMs: options.totalMs ?? 20_000,
    logger,
  });
  closers.push(() => served.close());
  return served;
}

/** A service of its own, so that no breaker remembers another test. */
async function serve(languageModel: ServedLanguageModel | undefined, scopes: Principal["scopes"] = ["read"]): Promise<string> {
  const app = new Hono<{ Variables: { principal: Principal; project: ProjectName } }>();
  app.use(async (context, next) => {
    context.set("principal", { keyId: "k", project, scopes });
    context.set("project", project);
    await next();
  });
  const deps: AnsweringDeps = {
    embedder,
    store,
    model: embedder,
    ledger: { epoch: async () => "1", liveGenerations: async (_, ids) => new Map(ids.map((id) => [id, "g"])) },
    spaces: { of: async () => undefined },
    admission: new Admission(),
    quotas: new Quotas(new LocalQuotaStore(), noQuotas, logger),
    usage: { add: () => undefined },
    metrics: { observeStep: (step) => void steps.push(step), countAnswer: () => undefined },
    logger,
    questions: new QuestionCache({ redis: new CacheRedis(redis, { timeoutMs: 5_000 }), ttlSeconds: 600 }),
    sessions: new Sessions(redis),
    ...(languageModel === undefined ? {} : { languageModel }),
  };
  addAskRoutes(app, new Answering(deps));
  app.onError((error, context) => replyTo(error, context.req.path, logger));
  const server: Server = createServer(getRequestListener(app.fetch));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/ask`;
}

async function post(url: string, body: unknown): Promise<{ status: number; body: Json }> {
  const response = await fetch(url, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
  return { status: response.status, body: (await response.json()) as Json };
}

async function stream(url: string, question = "how do bees tell where flowers are"): Promise<{ headers: Headers; events: Event[] }> {
  const response = await fetch(url, { method: "POST", body: JSON.stringify({ question, stream: true }) });
  const field = (block: string, name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? "";
  const blocks = (await response.text()).split("\n\n").filter((block) => block.startsWith("event:"));
  return {
    headers: response.headers,
    events: blocks.map((block) => ({ event: field(block, "event"), data: JSON.parse(field(block, "data")) as Json })),
  };
}

const spoken = (events: readonly Event[]): string =>
  events.map(({ event, data }) => (event === "delta" ? String(data["text"]) : "")).join("");

beforeAll(async () => {
  llm = await startScriptedLlm();
  const server = await startRedis();
  redis = connectRedis(server.url, "service", () => undefined);
  closers.push(
    () => server.stop(),
    async () => redis.disconnect(),
  );
  const records = await Promise.all(
    Object.entries(texts).map(async ([source, text]): Promise<ChunkRecord> => {
      const documentId = documentIdOf(project, source);
      const [vector = new Float32Array(64)] = await embedder.embed([text], AbortSignal.timeout(30_000));
      return {
        chunkId: chunkIdOf(project, documentId, "g", 0),
        ...{ project, documentId, generation: "g", source, mediaType: "text/markdown", title: source, ingestedAt: 0, metadata: {}, vector },
        chunk: { ordinal: 0, text, span: { start: 0, end: text.length }, tokens: 20, headings: [] },
      };
    }),
  );
  await store.upsert(records, AbortSignal.timeout(30_000));
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
  await llm.close();
});
beforeEach(async () => {
  steps = [];
  await redis.flushall();
});

const question = "how do bees tell where flowers are";
const good = says("They dance [1][9]. See https://evil.example/x for more.");

describe("an answer", () => {
  it("is generated from numbered, fenced sources, and comes with its citations, checked", async () => {
    llm.play(good);
    const { status, body } = await post(await serve(model()), { question, trace: true });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      object: "answer",
      answer: "They dance [1]. See (link removed) for more.",
      citations: [{ n: 1, source: "bees.md", page: null, quote: expect.stringContaining("dance") }],
      mode: "generated",
      reason: null,
      truncated: false,
      model: "first",
      usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 },
    });
    expect(Object.keys(body["timings_ms"] as Json)).toEqual(["cache", "wait", "retrieve", "generate"]);
    expect(steps).toEqual(["cache", "wait", "retrieve", "generate"]);
    const prompt = llm.requests[0]?.messages.map(({ content }) => content).join("\n") ?? "";
    const nonce = /<<<SOURCE 1 ([0-9a-f]{16})>>>\nbees\.md\n\nHoney bees/.exec(prompt)?.[1];
    expect(prompt).toContain(`<<<END 2 ${nonce}>>>`);
    expect(prompt).toContain(question);
  });

  it("streams: its sources, its text with citations, its end", async () => {
    llm.play(good);
    const { headers, events } = await stream(await serve(model()));
    expect(headers.get("content-type")).toContain("text/event-stream");
    expect(headers.get("x-accel-buffering")).toBe("no");
    expect(events[0]).toMatchObject({
      event: "sources",
      data: [
        { n: 1, source: "bees.md" },
        { n: 2, source: "tides.md" },
      ],
    });
    expect(events.at(-1)?.event).toBe("done");
    expect(spoken(events)).toBe(events.at(-1)?.data["answer"]);
    expect(events.filter(({ event }) => event === "citation")).toMatchObject([{ data: { n: 1 } }]);
    expect(events.filter(({ event }) => event === "delta").length).toBeGreaterThan(0);
  });

  it("is extractive without a model, says so, and is verbatim", async () => {
    const { body } = await post(await serve(undefined), { question });
    expect(body).toMatchObject({ mode: "extractive", reason: "llm_unset", model: null, usage: { total_tokens: 0 } });
    expect(body["answer"]).toContain("Honey bees dance to tell each other where the flowers are. [1]");
    const nothing = await post(await serve(undefined), { question, filter: { type: "eq", key: "source", value: "none" } });
    expect(nothing.body).toMatchObject({ mode: "extractive", reason: "nothing_found", citations: [] });
  });

  it("is extractive when the model's server is away, and soon", async () => {
    const url = await serve(model({ baseUrl: "http://127.0.0.1:9/v1" }));
    expect((await post(url, { question })).body).toMatchObject({ mode: "extractive", reason: "llm_unavailable" });
    const { events } = await stream(url);
    expect(events.at(-1)).toMatchObject({ event: "done", data: { mode: "extractive" } });
  });

  it("is refused to a key that may not read, and to wrong requests", async () => {
    expect(await post(await serve(undefined, ["ingest"]), { question })).toMatchObject({ status: 403, body: { code: "key.scope" } });
    const url = await serve(undefined);
    for (const [body, status, code] of [
      ["{", 400, "request.malformed"],
      [{}, 400, "ask.missing"],
      [{ question: " " }, 400, "query.empty"],
      [{ question, stream: "yes" }, 400, "ask.stream"],
      [{ question, top_k: 0 }, 400, "query.top_k"],
      [{ question: "x".repeat(100_000) }, 413, "request.too_large"],
    ] as const) {
      expect(await post(url, body)).toMatchObject({ status, body: { code } });
    }
  });
});

describe("a model that fails", () => {
  it("is asked again before its first word, and then the next one is", async () => {
    llm.play(refuses(500), good);
    expect((await post(await serve(model()), { question })).body).toMatchObject({ mode: "generated", model: "first" });
    llm.play(refuses(500), refuses(500), good);
    const { body } = await post(await serve(model({ models: ["first", "second"] })), { question });
    expect(body).toMatchObject({ mode: "generated", model: "second" });
    expect(llm.requests.map(({ model: name }) => name)).toEqual(["first", "first", "second"]);
  });

  it("is waited for as long as it says, when that is short", async () => {
    llm.play(refuses(429, { "retry-after": "0.4" }), good);
    const url = await serve(model());
    const startedAt = performance.now();
    expect((await post(url, { question })).body).toMatchObject({ mode: "generated" });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(390);
    llm.play(refuses(429, { "retry-after": "3600" }), good);
    expect((await post(url, { question })).body).toMatchObject({ mode: "extractive" });
    expect(llm.requests).toHaveLength(1);
  });

  it("that does not take a parameter is asked without it, then and later", async () => {
    const refusesParameter =
      (param: string): Parameters<ScriptedLlm["play"]>[0] =>
      (response) => {
        response.writeHead(400, { "content-type": "application/json" });
        response.end(
          JSON.stringify({ error: { message: "Unsupported", type: "invalid_request_error", param, code: "unsupported_parameter" } }),
        );
      };
    llm.play(refusesParameter("max_tokens"), refusesParameter("temperature"), good);
    const url = await serve(model());
    for (const each of [question, "where are they"])
      expect((await post(url, { question: each })).body).toMatchObject({ mode: "generated" });
    expect(llm.requests.map((request) => Object.keys(request).filter((name) => /^max|temperature/.test(name)))).toEqual([
      ["max_tokens", "temperature"],
      ["max_completion_tokens", "temperature"],
      ["max_completion_tokens"],
      ["max_completion_tokens"],
    ]);
    llm.play(refusesParameter("messages"));
    expect((await post(url, { question: "who dances" })).body).toMatchObject({ mode: "extractive" });
    expect(llm.requests).toHaveLength(1);
  });

  it("is left alone after failures in a row", async () => {
    llm.play(refuses(500));
    const url = await serve(model());
    for (let call = 0; call < 5; call++) expect((await post(url, { question })).body).toMatchObject({ mode: "extractive" });
    expect(llm.requests).toHaveLength(3);
  });

  it("after its first word ends the stream with an error, never as if it were done", async () => {
    llm.play(breaksAfter(llmChunk("Bees ") + llmChunk("dance ")));
    const url = await serve(model());
    const { events } = await stream(url);
    expect(spoken(events)).toBe("Bees dance ");
    expect(events.at(-1)).toMatchObject({ event: "error", data: { status: 503, code: "llm.cut" } });
    expect(llm.requests).toHaveLength(1);
    // Who reads the answer when it is whole never saw the words.
    expect((await post(url, { question })).body).toMatchObject({ mode: "extractive", reason: "llm_unavailable" });
  });

  const names = Object.keys(llmScripts);
  /** These would starve the others of the one processor that they share here. */
  const isEndless = (name: string): boolean => /endless|never ends|huge/.test(name);

  async function playsTo(name: string): Promise<{ whole: Json; end: string | undefined }> {
    const own = await startScriptedLlm();
    const script = llmScripts[name];
    if (script !== undefined) own.play(script);
    const url = await serve(model({ baseUrl: own.baseUrl, silenceMs: isEndless(name) ? 4_000 : 2_000 }));
    const whole = await post(url, { question });
    expect({ name, status: whole.status }).toEqual({ name, status: 200 });
    const { events } = await stream(url);
    expect(
      events.filter(({ event }) => event === "done" || event === "error"),
      name,
    ).toHaveLength(1);
    await vi.waitFor(() => expect({ name, open: own.open }).toEqual({ name, open: 0 }), 20_000);
    await own.close();
    return { whole: whole.body, end: events.at(-1)?.event };
  }

  it(`ends none of ${names.length} scripts in an answer that looks whole, and leaves nothing open`, async () => {
    expect(names.length).toBeGreaterThanOrEqual(30);
    await Promise.all(
      names
        .filter((name) => !isEndless(name))
        .map(async (name) => {
          const { whole, end } = await playsTo(name);
          expect({ name, ...whole }).toMatchObject({ name, mode: "extractive", reason: "llm_unavailable" });
          // Who had read a word is told that the rest is missing; who had not gets the sources' own words.
          expect({ name, end }).toEqual({ name, end: spokenFirst.has(name) ? "error" : "done" });
        }),
    );
    for (const name of names.filter(isEndless)) {
      const { whole } = await playsTo(name);
      if (/comments|line/.test(name)) expect({ name, ...whole }).toMatchObject({ name, mode: "extractive" });
      else expect({ name, ...whole }).toMatchObject({ name, mode: "generated", truncated: true });
      expect(String(whole["answer"]).length).toBeLessThanOrEqual(limits.answerCharsMax);
    }
  }, 60_000);
});

/** Scripts that say a word before they fail. */
const spokenFirst = new Set([
  ...["falls silent in the middle", "breaks off after a word", "breaks off inside a chunk", "ends without a finish"],
  ...[
    "ends without a finish but done",
    "ends in a chunk",
    "sends broken JSON in the middle",
    "sends an error in the stream",
    "is filtered",
  ],
]);

/** In each phase by itself: `leaving.test.ts`. */
describe("a client that leaves", () => {
  /** Sends a request and leaves when it is time. */
  const leave = (url: string, body: unknown, time: Promise<unknown>): Promise<void> =>
    new Promise((resolve) => {
      const call = httpRequest(url, { method: "POST" });
      call.on("error", () => undefined).once("close", resolve);
      call.on("response", (response) => response.on("error", () => undefined).resume());
      call.end(JSON.stringify(body));
      void time.then(() => call.destroy());
    });

  it("at random moments, many times, leaves nothing open, nothing half in the cache, and hurts nobody else", async () => {
    const drips: Parameters<ScriptedLlm["play"]>[0] = (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      let left = 40;
      const timer = setInterval(() => {
        if (--left > 0) response.write(llmChunk("word "));
        else response.end(`${llmChunk(" [1]", "stop")}data: [DONE]\n\n`);
      }, 5);
      response.once("close", () => clearInterval(timer));
    };
    const times = process.env["MILLRACE_ASK_DISCONNECTS"] === undefined ? 100 : Number(process.env["MILLRACE_ASK_DISCONNECTS"]);
    const whole = `${"word ".repeat(39)} [1]`;
    llm.play(drips);
    const url = await serve(model());
    for (let done = 0; done < times; done += 20) {
      const leaving = Array.from({ length: 20 }, (_, index) =>
        leave(url, { question: `${question} ${done + (index % 15)}`, stream: index % 4 !== 0 }, delay(Math.random() * 260)),
      );
      const stays = await stream(url, `${question} ${done}`);
      expect(stays.events.at(-1)?.event).toBe("done");
      await Promise.all(leaving);
    }
    await vi.waitFor(() => expect(llm.open).toBe(0), 20_000);
    // Locks are given back after the reply.
    const kept = await vi.waitFor(async () => {
      const keys = await redis.keys("*");
      expect(keys.filter((key) => key.endsWith(":flight"))).toEqual([]);
      return keys;
    }, 20_000);
    expect(kept.length).toBeGreaterThanOrEqual(times / 20);
    for (const key of kept) {
      expect(JSON.parse((await redis.get(key)) ?? "{}")).toMatchObject({ answer: { answer: whole, truncated: false } });
    }
  }, 120_000);
});
