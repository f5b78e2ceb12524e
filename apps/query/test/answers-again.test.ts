import { limits } from "@millrace/core";
import { breaksAfter, type LlmScript, llmChunk, refuses, type ScriptedLlm, says, startScriptedLlm } from "@millrace/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { ServedLanguageModel } from "../src/llm/language-model.ts";
import { AskClient, type Json, servedModel, spoken } from "./ask-client.ts";
import { type ServiceOptions, startService, type TestService } from "./service.ts";

/** Answers that are given again, with a real ledger and a real cache Redis. */
let llm: ScriptedLlm;
let languageModel: ServedLanguageModel;
let service: TestService;
let client: AskClient;

beforeAll(async () => {
  llm = await startScriptedLlm();
});
beforeEach(() => {
  languageModel = servedModel(llm); // no breaker remembers another test
});
afterEach(async () => {
  await service.close();
  await languageModel.close();
});
afterAll(() => llm.close());

const question = "how do bees tell where flowers are";
const dance = says("They dance [1].");

async function start(options: ServiceOptions = {}): Promise<void> {
  service = await startService({ languageModel, ...options });
  await service.put("hive", "bees.md", "Honey bees dance to tell each other where the flowers are.");
  await service.put("hive", "tides.md", "The moon pulls the water of the oceans. Tides rise and fall twice a day.");
  client = new AskClient(service, await service.newKey("hive"));
}

/** Says a word, and the rest when it is told to. */
function held(rest: string): { script: LlmScript; finish: () => void } {
  let finish = (): void => undefined;
  const script: LlmScript = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(llmChunk("They "));
    finish = () => void response.end(`${llmChunk(rest, "stop")}data: [DONE]\n\n`);
  };
  return { script, finish: () => finish() };
}

/** Comes back when those who asked before have found that there is no answer yet: it goes the same way to its end, and asks no model. */
const afterOthers = (): Promise<unknown> => client.ask("none", { filter: { type: "eq", key: "source", value: "none" } });

const promptOf = (index: number): string => llm.requests[index]?.messages.at(-1)?.content ?? "";
const stepsOf = (answer: Json): string[] => Object.keys(answer["timings_ms"] as Json);
const answerKeys = (): Promise<string[]> => service.cacheRedis.keys("millrace:answer:*");

describe("an answer is given again", () => {
  it("to the same question, and costs nothing", async () => {
    await start();
    llm.play(dance);
    const made = await client.ask(question);
    expect(made).toMatchObject({ cache: "miss", usage: { total_tokens: 110 } });
    const again = await client.ask(`  ${question.replaceAll(" ", "  ")}`);
    expect(again).toMatchObject({ cache: "hit", answer: "They dance [1].", model: "first", usage: { total_tokens: 0 } });
    expect(again["citations"]).toEqual(made["citations"]);
    expect(stepsOf(again)).toEqual(["cache"]);
    // Another key of the same project and scope sees the same documents.
    const other = new AskClient(service, await service.newKey("hive"));
    expect(await other.ask(question)).toMatchObject({ cache: "hit" });
    expect(llm.requests).toHaveLength(1);
  });

  it("but not one whose sources another reranker put in order", async () => {
    let fingerprint = "first";
    const reranker = {
      get fingerprint() {
        return fingerprint;
      },
      score: async (_: string, texts: readonly string[]) => texts.map(() => 0.5),
    };
    await start({ reranker });
    llm.play(dance);
    const asked = (): Promise<Json> => client.ask(question, { rerank: true });
    expect([await asked(), await asked()]).toMatchObject([{ cache: "miss" }, { cache: "hit" }]);
    fingerprint = "second";
    expect(await asked()).toMatchObject({ cache: "miss" });
    expect(llm.requests).toHaveLength(2);
  });

  it("as the same events, where it is streamed", async () => {
    await start();
    llm.play(dance);
    const [made, again] = [await client.stream(question), await client.stream(question)];
    expect(again.map(({ event }) => event)).toEqual(["sources", "delta", "citation", "done"]);
    expect(again[0]).toEqual(made[0]);
    expect(spoken(again)).toBe(spoken(made));
    expect(again.at(-1)?.data).toMatchObject({ cache: "hit", answer: made.at(-1)?.data["answer"] });
    expect(llm.requests).toHaveLength(1);
  });

  it("but not to another scope of the key, nor in another project", async () => {
    await start();
    llm.play(dance);
    await client.ask(question);
    const wider = new AskClient(service, await service.newKey("hive", ["read", "ingest"]));
    expect(await wider.ask(question)).toMatchObject({ cache: "miss" });
    await service.put("other", "bees.md", "Honey bees dance to tell each other where the flowers are.");
    const foreign = new AskClient(service, await service.newKey("other"));
    expect(await foreign.ask(question)).toMatchObject({ cache: "miss" });
  });

  it("for as long as it is kept, and no longer for being confirmed", async () => {
    await start({ answerTtlSeconds: 100 });
    llm.play(dance);
    await client.ask(question, { top_k: 1 });
    const [key = ""] = await answerKeys();
    await service.cacheRedis.expire(key, 50);
    await service.remove("hive", "tides.md");
    expect(await client.ask(question, { top_k: 1 })).toMatchObject({ cache: "hit" });
    expect(await service.cacheRedis.ttl(key)).toBeLessThanOrEqual(50);
    await service.cacheRedis.pexpire(key, 0);
    expect(await client.ask(question, { top_k: 1 })).toMatchObject({ cache: "miss" });
  });
});

it("an answer of a fallback model is given again only briefly, so that the preferred one is asked soon after it is back", async () => {
  languageModel = servedModel(llm, ["first", "second"]);
  await start();
  llm.play(refuses(400), dance);
  expect(await client.ask(question)).toMatchObject({ cache: "miss", model: "second" });
  expect(await client.ask(question)).toMatchObject({ cache: "hit", model: "second" });
  const [key = ""] = await answerKeys();
  expect(await service.cacheRedis.ttl(key)).toBeLessThanOrEqual(limits.provisionalAnswerTtlSeconds);
  await service.cacheRedis.pexpire(key, 0);
  expect(await client.ask(question)).toMatchObject({ cache: "miss", model: "first" });
  expect(await service.cacheRedis.ttl(key)).toBeGreaterThan(limits.provisionalAnswerTtlSeconds);
});

describe("a question in other words", () => {
  const asked = "How do bees tell where the flowers are?";
  /** The vectors of these tests know words only: any two questions with a word in common are near. */
  async function answeredOnce(options: ServiceOptions = { similarityMin: 0.3 }): Promise<void> {
    await start(options);
    llm.play(dance);
    await client.ask(asked);
  }

  it("has the answer of before, as the same events where it is streamed", async () => {
    await answeredOnce();
    expect(await client.ask("Could you tell me how bees tell where flowers are?")).toMatchObject({
      cache: "semantic",
      answer: "They dance [1].",
      usage: { total_tokens: 0 },
    });
    const events = await client.stream("Where are the flowers: how do bees tell?");
    expect(events.at(-1)?.event).toBe("done");
    const again = await client.stream("Please explain how bees tell where flowers are.");
    expect(again.map(({ event }) => event)).toEqual(["sources", "delta", "citation", "done"]);
    expect(again.at(-1)?.data).toMatchObject({ cache: "semantic" });
  });

  it.each([
    ["it asks for something else", "How do bees tell where the trees are?"],
    ["it denies", "How do bees not tell where the flowers are?"],
    ["it has a number", "How do 2 bees tell where the flowers are?"],
  ])("has not, when %s", async (_, other) => {
    await answeredOnce();
    expect(await client.ask(other)).toMatchObject({ cache: "miss" });
  });

  it("has not, when it is not near, or nothing is near enough", async () => {
    await answeredOnce({ similarityMin: 0.9999 });
    expect(await client.ask("Could you tell me how bees tell where flowers are?")).toMatchObject({ cache: "miss" });
  });

  it("has not from other evidence: another filter, or a document that came meanwhile", async () => {
    await answeredOnce();
    const filter = { type: "eq", key: "source", value: "bees.md" };
    expect(await client.ask("Please tell me how bees tell where the flowers are", { filter })).toMatchObject({ cache: "miss" });
    await service.put("hive", "news.md", "How do bees tell where the flowers are? By radio now.");
    expect(await client.ask("Please tell me how bees tell where the flowers are")).toMatchObject({ cache: "miss" });
  });

  it("has not in another project, though its documents are the same", async () => {
    await answeredOnce();
    for (const source of ["bees.md", "tides.md"])
      await service.put("other", source, "Honey bees dance to tell each other where the flowers are.");
    const foreign = new AskClient(service, await service.newKey("other"));
    expect(await foreign.ask("Could you tell me how bees tell where the flowers are?")).toMatchObject({ cache: "miss" });
  });

  it("finds no more than some earlier ones, and none for longer than their answers are kept", async () => {
    await start({ similarityMin: 0.3, answerTtlSeconds: 100 });
    llm.play(dance);
    for (let each = 0; each < limits.similarQuestionsMax + 2; each++) await client.ask(`${asked} ${each}`);
    const [key = ""] = await service.cacheRedis.keys("millrace:evidence:*");
    expect(await service.cacheRedis.llen(key)).toBe(limits.similarQuestionsMax);
    expect(await service.cacheRedis.ttl(key)).toBeLessThanOrEqual(100);
  });
});

describe("an answer dies with its evidence", () => {
  async function answeredOnce(): Promise<void> {
    await start();
    llm.play(dance);
    await client.ask(question, { top_k: 1 });
  }

  it("when a document behind it changes", async () => {
    await answeredOnce();
    await service.put("hive", "bees.md", "Honey bees sing to tell each other where the flowers are.");
    expect(await client.ask(question, { top_k: 1 })).toMatchObject({ cache: "miss" });
    expect(promptOf(1)).toContain("bees sing");
    expect(promptOf(1)).not.toContain("bees dance");
  });

  it("when one is deleted, even while readers are still shown the epoch of before", async () => {
    await answeredOnce();
    const epoch = (await service.queueRedis.get("millrace:{hive}:epoch")) ?? "";
    await service.remove("hive", "bees.md");
    await service.queueRedis.set("millrace:{hive}:epoch:held", epoch);
    expect(await client.ask(question, { top_k: 1 })).toMatchObject({ cache: "miss" });
    expect(promptOf(1)).not.toContain("bees dance");
  });

  it("when a new one belongs to it", async () => {
    await start();
    llm.play(dance);
    await client.ask(question);
    await service.put("hive", "news.md", "How do bees tell where flowers are? By radio now.");
    expect(await client.ask(question)).toMatchObject({ cache: "miss" });
    expect(promptOf(1)).toContain("By radio");
  });

  it("but lives on when something changes elsewhere", async () => {
    await answeredOnce();
    await service.remove("hive", "tides.md");
    const again = await client.ask(question, { top_k: 1 });
    expect(again).toMatchObject({ cache: "hit", answer: "They dance [1]." });
    expect(stepsOf(again)).toEqual(["cache", "wait", "retrieve"]);
    // And is confirmed: the next one needs no search.
    expect(stepsOf(await client.ask(question, { top_k: 1 }))).toEqual(["cache"]);
    expect(llm.requests).toHaveLength(1);
  });

  it("and nobody waits for one that was begun before a change", async () => {
    await start();
    const before = held("dance [1].");
    llm.play(before.script, says("By radio [1]."));
    const begun = client.ask(question);
    await vi.waitFor(() => expect(llm.open).toBe(1), 20_000);
    await service.put("hive", "news.md", "How do bees tell where flowers are? By radio now.");
    expect(await client.ask(question)).toMatchObject({ cache: "miss", answer: "By radio [1]." });
    before.finish();
    expect(await begun).toMatchObject({ answer: "They dance [1]." });
    // It came late and took the place of the newer one, but is of the epoch of before, and is found out by that.
    expect((await client.ask(question))["answer"]).toBe("By radio [1].");
  });
});

describe("an answer is not kept", () => {
  it.each<[string, LlmScript]>([
    ["that was cut off at a limit", says("They dance [1].", { finish: "length" })],
    ["that cites what does not exist", says("They dance [1][9].")],
    ["that cites nothing", says("They dance.")],
    ["with a link that stands in no source", says("They dance [1], see https://evil.example/x")],
    ["of sentences, since the model failed", refuses(500)],
    ["that broke off", breaksAfter(llmChunk("They dance [1]. And then"))],
  ])("%s", async (_, script) => {
    await start();
    llm.play(script);
    await client.ask(question);
    await client.stream(question);
    expect(await answerKeys()).toEqual([]);
  });
});

describe("many who ask the same at once", () => {
  it("share one call of the model, whether they read along or wait", async () => {
    await start();
    const { script, finish } = held("dance [1].");
    llm.play(script);
    const streams = Array.from({ length: 20 }, () => client.stream(question));
    const whole = Array.from({ length: 20 }, () => client.ask(question));
    await vi.waitFor(() => expect(llm.open).toBe(1), 20_000);
    finish();
    const caches = (await Promise.all(whole)).map(({ cache }) => cache);
    for (const events of await Promise.all(streams)) {
      expect(spoken(events)).toBe("They dance [1].");
      expect(events.filter(({ event }) => event === "citation")).toHaveLength(1);
      caches.push(events.at(-1)?.data["cache"]);
    }
    expect(caches.filter((cache) => cache === "miss")).toHaveLength(1);
    expect(caches.filter((cache) => cache === "hit")).toHaveLength(39);
    expect(llm.requests).toHaveLength(1);
  });

  it("lose nothing when the one who came first leaves", async () => {
    await start();
    const { script, finish } = held("dance [1].");
    llm.play(script);
    const leaving = new AbortController();
    const first = await client.send("POST", "/v1/ask", { question, stream: true }, leaving.signal);
    await vi.waitFor(() => expect(llm.open).toBe(1), 20_000);
    const others = Array.from({ length: 5 }, () => client.ask(question));
    await afterOthers();
    leaving.abort();
    await expect(first.text()).rejects.toThrow();
    await afterOthers();
    finish();
    for (const answer of await Promise.all(others)) expect(answer).toMatchObject({ answer: "They dance [1].", cache: "hit" });
    expect(llm.requests).toHaveLength(1);
  });

  it("get sentences of the sources when the model breaks off; only who had read its words is told of an error", async () => {
    await start();
    let cut = (): void => undefined;
    llm.play((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(llmChunk("They ") + llmChunk("dance "));
      cut = () => void response.destroy();
    });
    const first = client.stream(question);
    await vi.waitFor(() => expect(llm.open).toBe(1), 20_000);
    const others = Array.from({ length: 5 }, () => client.ask(question));
    const reader = client.stream(question);
    await afterOthers();
    cut();
    expect((await first).at(-1)).toMatchObject({ event: "error", data: { code: "llm.cut" } });
    for (const answer of await Promise.all(others)) expect(answer).toMatchObject({ mode: "extractive", reason: "llm_unavailable" });
    const events = await reader;
    expect(events.at(-1)).toMatchObject({ event: "done", data: { mode: "extractive" } });
    expect(spoken(events)).toBe(events.at(-1)?.data["answer"]);
    expect(llm.requests).toHaveLength(1);
  });
});

it("without the cache, questions are answered all the same", async () => {
  await start({ cacheTimeoutMs: 100 });
  llm.play(dance);
  await service.withoutCache(async () => {
    for (let times = 0; times < 2; times++) expect(await client.ask(question)).toMatchObject({ answer: "They dance [1].", cache: "miss" });
  });
});
