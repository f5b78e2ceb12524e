import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createLogger } from "@millrace/runtime";
import { llmChunk, llmScripts, type ScriptedLlm, says, startScriptedLlm } from "@millrace/testing";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import type { ServedLanguageModel } from "../src/llm/language-model.ts";
import { OtlpExporter } from "../src/tracing/otlp-exporter.ts";
import { AskClient, servedModel } from "./ask-client.ts";
import { startService, type TestService } from "./service.ts";

/** Traces of questions, as a collector gets them over HTTP. */
interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly status?: { readonly code: number };
}

let collector: Server;
let answers = 200;
const spans: ReceivedSpan[] = [];
let exporter: OtlpExporter;
let llm: ScriptedLlm;
let model: ServedLanguageModel;
let service: TestService;
let client: AskClient;
let key: string;

beforeAll(async () => {
  collector = createServer((request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => {
      body += part.toString();
    });
    request.once("end", () => {
      expect([request.method, request.url, request.headers["content-type"]]).toEqual(["POST", "/v1/traces", "application/json"]);
      if (answers === 200) {
        const { resourceSpans } = JSON.parse(body) as {
          resourceSpans: { resource: { attributes: unknown }; scopeSpans: { spans: ReceivedSpan[] }[] }[];
        };
        expect(resourceSpans[0]?.resource.attributes).toEqual([{ key: "service.name", value: { stringValue: "millrace-query" } }]);
        spans.push(...(resourceSpans[0]?.scopeSpans[0]?.spans ?? []));
      }
      response.writeHead(answers, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/`;
  exporter = new OtlpExporter({ endpoint, logger: createLogger("test", "silent") });
  llm = await startScriptedLlm();
  model = servedModel(llm);
  service = await startService({ languageModel: model, replace: () => ({ spans: exporter }) });
  await service.put("hive", "bees.md", "Honey bees dance to tell each other where the flowers are.");
  key = await service.newKey("hive");
  client = new AskClient(service, key);
});
afterAll(async () => {
  await service.close();
  await model.close();
  await llm.close();
  await exporter.close();
  collector.close();
});
beforeEach(() => {
  spans.length = 0;
});

const caller = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
const attributesOf = ({ attributes }: ReceivedSpan) =>
  Object.fromEntries(attributes.map((each) => [each.key, Object.values(each.value)[0]]));
const msOf = ({ startTimeUnixNano, endTimeUnixNano }: ReceivedSpan): number =>
  Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6;

async function ask(path: string, body: object, traceparent?: string): Promise<string> {
  const response = await fetch(`${service.url}${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${key}`, ...(traceparent === undefined ? {} : { traceparent }) },
  });
  return response.text();
}

/** The spans of the next trace, once the collector has them. */
async function nextTrace(): Promise<{ root: ReceivedSpan; steps: ReadonlyMap<string, ReceivedSpan> }> {
  await vi.waitFor(() => expect(spans.length).toBeGreaterThan(0), 20_000);
  const [root] = spans;
  if (root === undefined) throw new Error("No span came");
  return { root, steps: new Map(spans.slice(1).map((span) => [span.name, span])) };
}

test("a question's trace goes on from the caller's and shows the share of each step", async () => {
  llm.play((response, request) => {
    setTimeout(() => void says("They dance [1].")(response, request), 300);
  });
  const asked = ask("/v1/ask", { question: "how do bees tell where flowers are" }, `00-${caller.traceId}-${caller.spanId}-01`);
  expect(await asked).toContain("They dance [1].");
  const { root, steps } = await nextTrace();
  expect(root).toMatchObject({ name: "ask", kind: 2, traceId: caller.traceId, parentSpanId: caller.spanId });
  expect(attributesOf(root)).toEqual({
    ...{ "millrace.project": "hive", "millrace.cache": "miss", "millrace.mode": "generated" },
    ...{ "gen_ai.response.model": "first", "gen_ai.usage.input_tokens": "100", "gen_ai.usage.output_tokens": "10" },
  });
  expect([...steps.keys()].sort()).toEqual([
    "admission",
    "cache",
    "embed",
    "generate",
    "retrieve",
    "search.dense",
    "search.keyword",
    "wait",
  ]);
  const retrieve = steps.get("retrieve")?.spanId;
  for (const [name, span] of steps) {
    const parent = /^(?:admission|embed|search)/.test(name) ? retrieve : root.spanId;
    expect(span).toMatchObject({ traceId: caller.traceId, parentSpanId: parent, kind: 1 });
    expect(span.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(BigInt(span.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(root.startTimeUnixNano));
    expect(BigInt(span.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(root.endTimeUnixNano));
    expect(Number(attributesOf(span)["millrace.share"])).toBeCloseTo(msOf(span) / msOf(root), 2);
  }
  const shares = ["cache", "wait", "retrieve", "generate"].map((name) => Number(attributesOf(steps.get(name) ?? root)["millrace.share"]));
  expect(shares.reduce((sum, share) => sum + share, 0)).toBeGreaterThan(0.5);
  expect(msOf(steps.get("generate") ?? root)).toBeGreaterThan(290);
});

test("one that is answered from the cache has hardly a step, and one of its own where the caller has none", async () => {
  llm.play(says("They dance [1]."));
  await client.ask("how do bees dance");
  await nextTrace();
  spans.length = 0;
  await ask("/v1/chat/completions", { messages: [{ role: "user", content: "how do bees dance" }] }, "00-not-a-trace-01");
  const { root, steps } = await nextTrace();
  expect(root.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(root.parentSpanId).toBeUndefined();
  expect(attributesOf(root)).toMatchObject({ "millrace.cache": "hit" });
  expect([...steps.keys()]).toEqual(["cache"]);
});

test("one that fails says so", async () => {
  llm.play(llmScripts["breaks off after a word"] ?? says(""));
  expect(await ask("/v1/ask", { question: "what breaks off here", stream: true })).toContain("llm.cut");
  const { root, steps } = await nextTrace();
  expect(root.status).toEqual({ code: 2 });
  expect(attributesOf(root)).toMatchObject({ "error.type": "llm.cut" });
  expect(steps.get("generate")?.status).toEqual({ code: 2 });
});

test("whoever waits for another's answer sees that as a step", async () => {
  let finish = (): void => undefined;
  llm.play((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(llmChunk("They "));
    finish = () => void response.end(`${llmChunk("dance [1].", "stop")}data: [DONE]\n\n`);
  });
  const asked = [client.ask("who waits for whom"), client.ask("who waits for whom")];
  await vi.waitFor(() => expect(llm.open).toBe(1), 20_000);
  await client.ask("none", { filter: { type: "eq", key: "source", value: "none" } });
  finish();
  expect((await Promise.all(asked)).map(({ cache }) => cache).sort()).toEqual(["hit", "miss"]);
  await vi.waitFor(() => expect(spans.filter(({ name }) => name === "ask")).toHaveLength(3), 20_000);
  const waiting = spans.find((span) => span.name === "ask" && attributesOf(span)["millrace.cache"] === "hit");
  const steps = spans.filter(({ parentSpanId }) => parentSpanId === waiting?.spanId).map(({ name }) => name);
  expect(steps).toEqual(["cache", "wait"]);
});

test("a collector that refuses costs the spans and no answer", async () => {
  answers = 500;
  llm.play(says("They dance [1]."));
  expect(await client.ask("what if nobody collects")).toMatchObject({ answer: "They dance [1]." });
  await vi.waitFor(() => expect(exporter.lost).toBeGreaterThan(0), 20_000);
  answers = 200;
});
