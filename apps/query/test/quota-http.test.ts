import { createLogger } from "@millrace/runtime";
import { llmScripts, type ScriptedLlm, says, startScriptedLlm } from "@millrace/testing";
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { ServedLanguageModel } from "../src/llm/language-model.ts";
import { noQuotas, startService, type TestService } from "./service.ts";

/** What a client sees of its quotas, over a real socket. */
let llm: ScriptedLlm;
let model: ServedLanguageModel;
let service: TestService;
let key: string;
const good = says("They dance [1].");
const question = "how do bees tell where flowers are";

beforeAll(async () => {
  llm = await startScriptedLlm();
  model = new ServedLanguageModel({
    ...{ baseUrl: llm.baseUrl, apiKey: undefined, models: ["served"], contextTokensMax: 2_048, answerTokensMax: 256 },
    ...{ connectTimeoutMs: 500, firstTokenTimeoutMs: 20_000, totalTimeoutMs: 20_000, logger: createLogger("test", "silent") },
  });
  service = await startService({
    languageModel: model,
    quotas: { key: { requests: 3, tokens: 1_000, streams: 1, searches: 2 }, project: { ...noQuotas.project, requests: 5 } },
  });
});
afterAll(async () => {
  await service.close();
  await model.close();
  await llm.close();
});
let project = "";
let counter = 0;
beforeEach(async () => {
  project = `q${++counter}`;
  key = await service.newKey(project);
  await service.put(project, "bees.md", "Honey bees dance to tell each other where the flowers are.");
  llm.play(good);
});

const post = (path: string, body: unknown, apiKey = key, signal?: AbortSignal): Promise<Response> =>
  fetch(`${service.url}${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    ...(signal === undefined ? {} : { signal }),
  });
const ask = (apiKey = key): Promise<Response> => post("/v1/ask", { question }, apiKey);
/** `"name";r=1;t=60` -> name -> r */
const leftOf = (response: Response): Record<string, number> =>
  Object.fromEntries(
    [...(response.headers.get("ratelimit") ?? "").matchAll(/"([\w-]+)";r=(\d+)/g)].map(([, name, r]) => [String(name), Number(r)]),
  );

test("every answer tells the quotas and what is left of them; a question too many is told when to come back", async () => {
  const first = await ask();
  expect(first.headers.get("ratelimit-policy")).toBe(
    '"key-requests";q=3;w=60, "project-requests";q=5;w=60, "key-tokens";q=1000;qu="tokens";w=60',
  );
  expect(leftOf(first)).toEqual({ "key-requests": 2, "project-requests": 4, "key-tokens": 1_000 });
  expect(leftOf(await ask())).toMatchObject({ "key-requests": 1, "key-tokens": 1_000 - 110 });
  await ask();
  const refused = await ask();
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(50);
  expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(61);
  expect(leftOf(refused)).toMatchObject({ "key-requests": 0 });
  expect(await refused.json()).toMatchObject({ code: "quota.requests", status: 429, "violated-policies": ["key-requests"] });
  // Another key of the project has its own, and shares the project's.
  const other = await service.newKey(project);
  expect([(await ask(other)).status, (await ask(other)).status]).toEqual([200, 200]);
  expect(await (await ask(other)).json()).toMatchObject({ "violated-policies": ["project-requests"] });
});

test("OpenAI's client understands the refusal", async () => {
  const client = new OpenAI({ baseURL: `${service.url}/v1`, apiKey: key, maxRetries: 0 });
  const create = () => client.chat.completions.create({ model: "m", messages: [{ role: "user", content: question }] });
  for (let each = 0; each < 3; each++) await create();
  await expect(create()).rejects.toBeInstanceOf(OpenAI.RateLimitError);
  await expect(create()).rejects.toMatchObject({ status: 429, code: "quota.requests", type: "rate_limit_error" });
});

test("tokens are claimed before a call of the model and settled after it", async () => {
  // Some 340 for the question with its source and its frame, and 256 for the answer: of 1,000 only one at a time fits.
  llm.play(llmScripts["falls silent in the middle"] ?? good);
  const leave = new AbortController();
  const silent = post("/v1/ask", { question: `${question} again` }, key, leave.signal).catch(() => undefined);
  await vi.waitFor(() => expect(llm.open).toBe(1), 20_000);
  const refused = await ask();
  expect([refused.status, await refused.json()]).toMatchObject([429, { code: "quota.tokens", "violated-policies": ["key-tokens"] }]);
  leave.abort();
  await silent;
  await vi.waitFor(() => expect(llm.open).toBe(0), 20_000);
  llm.play(good);
  await expect.poll(async () => (await ask()).status).toBe(200);
});

test("streams count while they last, however they end", async () => {
  llm.play(llmScripts["falls silent in the middle"] ?? good);
  const leave = new AbortController();
  const first = await post("/v1/ask", { question, stream: true }, key, leave.signal);
  expect(leftOf(first)).toMatchObject({ "key-streams": 0 });
  expect((await post("/v1/ask", { question, stream: true })).status).toBe(429);
  leave.abort();
  llm.play(good);
  let ended = "";
  await expect
    .poll(async () => {
      const response = await post("/v1/ask", { question, stream: true });
      ended = await response.text();
      return response.status;
    })
    .toBe(200);
  expect(ended).toContain("event: done");
});

test("searches have a quota where one is set, cached ones too", async () => {
  const search = (): Promise<Response> => post("/v1/search", { query: question });
  expect(leftOf(await search())).toEqual({ "key-searches": 1 });
  const cached = await search();
  expect(await cached.json()).toMatchObject({ cache: "hit" });
  const refused = await post("/v1/search", { query: "another question" });
  expect([refused.status, await refused.json()]).toMatchObject([429, { code: "quota.searches" }]);
  // Nothing was computed for it.
  const other = await post("/v1/search", { query: "another question" }, await service.newKey(project));
  expect(await other.json()).toMatchObject({ cache: "miss" });
  // Questions are another matter.
  expect((await ask()).status).toBe(200);
});

test("searches without a quota say nothing of one", async () => {
  const open = await startService();
  const response = await fetch(`${open.url}/v1/search`, {
    method: "POST",
    body: JSON.stringify({ query: question }),
    headers: { authorization: `Bearer ${await open.newKey("p")}` },
  });
  expect([response.status, response.headers.get("ratelimit")]).toEqual([200, null]);
  await open.close();
});
