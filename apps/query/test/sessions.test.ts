import { breaksAfter, llmChunk, type ScriptedLlm, says, startScriptedLlm } from "@millrace/testing";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import type { ServedLanguageModel } from "../src/llm/language-model.ts";
import { AskClient, type Json, servedModel } from "./ask-client.ts";
import { type ServiceOptions, startService, type TestService } from "./service.ts";

/** Conversations over HTTP, with a real ledger and real keys. */
let llm: ScriptedLlm;
let languageModel: ServedLanguageModel;
let service: TestService;
let client: AskClient;

beforeAll(async () => {
  llm = await startScriptedLlm();
  languageModel = servedModel(llm);
});
afterEach(() => service.close());
afterAll(async () => {
  await languageModel.close();
  await llm.close();
});

async function start(options: ServiceOptions = {}): Promise<void> {
  service = await startService(options);
  await service.put("hive", "bees.md", "Honey bees dance to tell each other where the flowers are. The dance is called waggle dance.");
  await service.put("hive", "tides.md", "The moon pulls the water of the oceans. Tides rise and fall twice a day.");
  client = new AskClient(service, await service.newKey("hive"));
}

const first = "how do honey bees dance";
const turnsOf = async (id: string): Promise<Json[]> => (await client.call("GET", `/v1/sessions/${id}`)).body["turns"] as Json[];

it("a conversation is remembered, listed, read and forgotten", async () => {
  await start();
  expect((await client.call("GET", "/v1/sessions")).body).toEqual({ object: "list", data: [] });
  const { answer, ...about } = await client.ask(first, { session_id: "one" });
  expect(about).toMatchObject({ session_id: "one", standalone_question: null });
  await client.ask("when do tides rise and fall", { session_id: "two" });
  expect((await client.call("GET", "/v1/sessions")).body).toMatchObject({
    data: [
      { object: "session", session_id: "two", turns: 1 },
      { session_id: "one", turns: 1 },
    ],
  });
  expect((await client.call("GET", "/v1/sessions/one")).body).toMatchObject({
    object: "session",
    turns: [{ question: first, standalone_question: first, answer }],
  });
  expect((await client.call("DELETE", "/v1/sessions/one")).body).toEqual({ object: "session.deleted", session_id: "one", deleted: true });
  expect(await client.call("GET", "/v1/sessions/one")).toMatchObject({ status: 404, body: { code: "session.unknown" } });
  expect(await client.call("DELETE", "/v1/sessions/one")).toMatchObject({ status: 404, body: { code: "session.unknown" } });
  expect((await client.call("GET", "/v1/sessions")).body).toMatchObject({ data: [{ session_id: "two" }] });
});

it("to another key of the same project it does not exist", async () => {
  await start();
  await client.ask(first, { session_id: "one" });
  const other = new AskClient(service, await service.newKey("hive"));
  expect(await other.call("GET", "/v1/sessions/one")).toMatchObject({ status: 404, body: { code: "session.unknown" } });
  expect(await other.call("DELETE", "/v1/sessions/one")).toMatchObject({ status: 404 });
  expect((await other.call("GET", "/v1/sessions")).body).toMatchObject({ data: [] });
  expect(await other.ask("how large is it", { session_id: "one" })).toMatchObject({ standalone_question: null });
  expect(await turnsOf("one")).toHaveLength(1);
});

it("a follow-up is made to stand alone by its words, without a model", async () => {
  await start();
  await client.ask(first, { session_id: "s" });
  const followUp = await client.ask("what is it called", { session_id: "s" });
  expect(followUp).toMatchObject({ standalone_question: "what is it called (honey bees dance)", mode: "extractive" });
});

it("a follow-up is rewritten by the model, which then answers the rewritten question", async () => {
  await start({ languageModel });
  llm.play(says("They waggle [1]."), says("What is the dance of honey bees called?"), says("Waggle dance [1]."));
  await client.ask(first, { session_id: "s" });
  const followUp = await client.ask("what is it called", { session_id: "s" });
  expect(followUp).toMatchObject({ answer: "Waggle dance [1].", standalone_question: "What is the dance of honey bees called?" });
  expect(followUp["usage"]).toMatchObject({ prompt_tokens: 200, completion_tokens: 20 });
  expect(Object.keys(followUp["timings_ms"] as Json)).toEqual(["rewrite", "cache", "wait", "retrieve", "generate"]);
  const prompts = llm.requests.map(({ messages }) => messages.at(-1)?.content ?? "");
  expect(prompts[1]).toContain(`Question: ${first}\nAnswer: They waggle [1].`);
  expect(prompts[2]).toContain("What is the dance of honey bees called?");
  expect(await turnsOf("s")).toMatchObject([{ question: first }, { question: "what is it called", answer: "Waggle dance [1]." }]);
});

it("an answer that broke off is not remembered, nor one whose client had left", async () => {
  await start({ languageModel });
  llm.play(breaksAfter(llmChunk("Bees ")));
  const events = await client.stream(first, { session_id: "s" });
  expect(events.at(-1)).toMatchObject({ event: "error", data: { code: "llm.cut" } });

  llm.play((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(llmChunk("Bees "));
  });
  const leaving = new AbortController();
  const left = client.call("POST", "/v1/ask", { question: first, session_id: "s" }, leaving.signal);
  await vi.waitFor(() => expect(llm.open).toBe(1), 20_000);
  leaving.abort();
  await expect(left).rejects.toThrow();
  await vi.waitFor(() => expect(llm.open).toBe(0), 20_000);

  llm.play(says("They dance [1]."));
  await client.ask(first, { session_id: "s" });
  expect(await turnsOf("s")).toMatchObject([{ answer: "They dance [1]." }]);
});

it("a conversation that is deleted while it is answered stays deleted", async () => {
  await start({ languageModel });
  llm.play(says("They dance [1]."));
  await client.ask(first, { session_id: "s" });
  let finish = (): void => undefined;
  llm.play(says("What do bees do?"), (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    finish = () => void response.end(`${llmChunk("They dance [1].", "stop")}data: [DONE]\n\n`);
  });
  const answered = client.ask("what do they do", { session_id: "s" });
  await vi.waitFor(() => expect(llm.requests).toHaveLength(2), 20_000);
  await client.call("DELETE", "/v1/sessions/s");
  finish();
  expect(await answered).toMatchObject({ answer: "They dance [1]." });
  expect((await client.call("GET", "/v1/sessions/s")).status).toBe(404);
});

it("an answer that cites a deleted document is told no more, not to the model either", async () => {
  await start({ languageModel });
  await service.put("hive", "secret.md", "The secret word of the bees is hexagon.");
  llm.play((response, request) => {
    const n = /<<<SOURCE (\d+) [0-9a-f]+>>>\nsecret\.md/.exec(request.messages.at(-1)?.content ?? "")?.[1];
    return says(`It is hexagon [${n}].`)(response, request);
  });
  await client.ask("what is the secret word of the bees", { session_id: "s" });
  expect(await turnsOf("s")).toMatchObject([{ answer: expect.stringContaining("hexagon") }]);
  await service.remove("hive", "secret.md");
  expect(await turnsOf("s")).toMatchObject([{ answer: null }]);
  llm.play(says("What is the secret word again?"));
  await client.ask("and again", { session_id: "s" });
  expect(llm.requests.length).toBeGreaterThan(0);
  expect(JSON.stringify(llm.requests)).not.toContain("hexagon");
});

it("the oldest turns go beyond the tokens, the sessions unused for longest beyond their number, and all of them in time", async () => {
  await start({ sessions: { tokensMax: 80, sessionsMax: 2, ttlSeconds: 500 } });
  for (const question of ["how do honey bees dance", "when do the tides rise", "where are the flowers of the bees"]) {
    await client.ask(question, { session_id: "s" });
  }
  const turns = await turnsOf("s");
  expect(turns.length).toBeLessThan(3);
  expect(turns.at(-1)).toMatchObject({ question: "where are the flowers of the bees" });
  for (const session of ["t", "u"]) await client.ask(first, { session_id: session });
  expect((await client.call("GET", "/v1/sessions")).body).toMatchObject({ data: [{ session_id: "u" }, { session_id: "t" }] });
  expect((await client.call("GET", "/v1/sessions/s")).status).toBe(404);
  const keys = await service.queueRedis.keys("*:session*");
  expect(keys).toHaveLength(3);
  for (const each of keys) {
    const seconds = await service.queueRedis.ttl(each);
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(500);
  }
});

it("a name that is none is refused, and so is a key that may not read", async () => {
  await start();
  for (const id of ["", "a b", "x".repeat(65), "a:b", 5])
    expect(await client.call("POST", "/v1/ask", { question: first, session_id: id })).toMatchObject({
      status: 400,
      body: { code: "ask.session_id" },
    });
  const writer = new AskClient(service, await service.newKey("hive", ["ingest"]));
  for (const [method, path] of [
    ["GET", "/v1/sessions"],
    ["GET", "/v1/sessions/s"],
    ["DELETE", "/v1/sessions/s"],
  ] as const)
    expect(await writer.call(method, path)).toMatchObject({ status: 403, body: { code: "key.scope" } });
});
