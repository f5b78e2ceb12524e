import { createLogger } from "@millrace/runtime";
import { llmScripts, refuses, type ScriptedLlm, says, startScriptedLlm } from "@millrace/testing";
import OpenAI, { APIError } from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ServedLanguageModel } from "../src/llm/language-model.ts";
import { startService, type TestService } from "./service.ts";

/** OpenAI's own client library against the service, with a base URL and a key and nothing else. */
let llm: ScriptedLlm;
let model: ServedLanguageModel;
let service: TestService;
let client: OpenAI;

const question = { role: "user", content: "how do bees tell where flowers are" } as const;
const good = says("They dance [1][9].");

interface Extension {
  readonly sources?: readonly { readonly n: number; readonly source: string }[];
  readonly citations?: readonly { readonly n: number; readonly source: string; readonly quote: string }[];
  readonly mode?: string;
  readonly model?: string;
}

beforeAll(async () => {
  llm = await startScriptedLlm();
  model = new ServedLanguageModel({
    ...{ baseUrl: llm.baseUrl, apiKey: "secret", models: ["served"], contextTokensMax: 4_096, answerTokensMax: 256 },
    ...{ connectTimeoutMs: 500, firstTokenTimeoutMs: 1_000, totalTimeoutMs: 5_000, logger: createLogger("test", "silent") },
  });
  service = await startService({ languageModel: model });
  await service.put("hive", "bees.md", "Honey bees dance to tell each other where the flowers are. The dance is called waggle dance.");
  await service.put("other", "secret.md", "Honey bees of another project keep a secret about flowers.");
  client = new OpenAI({ baseURL: `${service.url}/v1`, apiKey: await service.newKey("hive"), maxRetries: 0 });
});
afterAll(async () => {
  await service.close();
  await model.close();
  await llm.close();
});

test("a completion cites by number, and carries its citations beside it", async () => {
  llm.play(good);
  const completion = await client.chat.completions.create({ model: "gpt-whatever", messages: [question] });
  expect(completion).toMatchObject({
    object: "chat.completion",
    model: "gpt-whatever",
    choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "They dance [1]." } }],
    usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 },
  });
  const { millrace } = completion as unknown as { millrace: Extension };
  expect(millrace).toMatchObject({
    mode: "generated",
    model: "served",
    citations: [{ n: 1, source: "bees.md", quote: expect.stringContaining("dance") }],
  });
  expect(JSON.stringify(llm.requests)).not.toContain("secret");
});

test("a streamed one comes in pieces: its sources first, its citations last, its usage where asked for", async () => {
  llm.play(good);
  const stream = await client.chat.completions.create({
    model: "m",
    messages: [question],
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  const extensions: Extension[] = [];
  const finishes: unknown[] = [];
  let usage: unknown;
  for await (const chunk of stream) {
    expect(chunk).toMatchObject({ object: "chat.completion.chunk", model: "m" });
    text += chunk.choices[0]?.delta.content ?? "";
    finishes.push(chunk.choices[0]?.finish_reason);
    usage = chunk.usage ?? usage;
    const { millrace } = chunk as { millrace?: Extension };
    if (millrace !== undefined) extensions.push(millrace);
  }
  expect(text).toBe("They dance [1].");
  expect(finishes.filter((finish) => typeof finish === "string")).toEqual(["stop"]);
  expect(extensions[0]?.sources).toMatchObject([{ n: 1, source: "bees.md" }]);
  expect(extensions.at(-1)).toMatchObject({ mode: "generated", citations: [{ n: 1 }] });
  expect(usage).toMatchObject({ total_tokens: 110 });
});

test("the stream ends with [DONE], and only where the answer is whole", async () => {
  const body = JSON.stringify({ model: "m", messages: [question], stream: true });
  const post = (): Promise<Response> =>
    fetch(`${service.url}/v1/chat/completions`, { method: "POST", body, headers: { authorization: `Bearer ${client.apiKey}` } });
  llm.play(good);
  expect((await (await post()).text()).endsWith("data: [DONE]\n\n")).toBe(true);
  llm.play(llmScripts["breaks off after a word"] ?? good);
  const cut = await (await post()).text();
  expect(cut).not.toContain("[DONE]");
  expect(cut).toContain('"code":"llm.cut"');
  const stream = await client.chat.completions.create({ model: "m", messages: [question], stream: true });
  const read = async (): Promise<void> => {
    for await (const _ of stream) {
      // until it fails
    }
  };
  await expect(read()).rejects.toThrow(/broke off/);
});

test("the model sees the conversation, within its window, and the question last", async () => {
  llm.play(says(question.content), good);
  await client.chat.completions.create({
    model: "m",
    max_tokens: 50,
    messages: [
      { role: "system", content: "Answer like a pirate." },
      { role: "user", content: "tell me about honey ".repeat(2_000) },
      { role: "assistant", content: "Too long ago to be remembered." },
      {
        role: "user",
        content: [
          { type: "text", text: "What is" },
          { type: "text", text: "a hive?" },
        ],
      },
      { role: "assistant", content: "A home of bees [3]." },
      question,
    ],
  });
  const sent = llm.requests[1]?.messages ?? [];
  expect(sent.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"]);
  expect(sent[0]?.content).toContain("like a pirate");
  expect(sent[1]?.content).toBe("What is\na hive?");
  expect(sent[2]?.content).toBe("A home of bees.");
  expect(sent[3]?.content).toContain(question.content);
  expect(sent[3]?.content).toContain("Honey bees dance");
  expect(llm.requests[1]).toMatchObject({ max_tokens: 50 });
});

const followUp = [question, { role: "assistant", content: "They dance [1]." }, { role: "user", content: "what is it called" }] as const;

test("a follow-up question is rewritten to stand alone from what was said before, and searched for like that", async () => {
  llm.play(says("What is the dance of honey bees called?"), says("Waggle dance [1]."));
  const completion = await client.chat.completions.create({ model: "m", messages: [...followUp] });
  expect(completion.choices[0]?.message.content).toBe("Waggle dance [1].");
  expect(completion).toMatchObject({
    usage: { total_tokens: 220 },
    millrace: { standalone_question: "What is the dance of honey bees called?" },
  });
  const [rewriting, answering] = llm.requests.map(({ messages }) => messages.at(-1)?.content);
  expect(rewriting).toContain(`Question: ${question.content}\nAnswer: They dance [1].`);
  expect(answering).toContain("What is the dance of honey bees called?");
  llm.play(good);
  const first = await client.chat.completions.create({ model: "m", messages: [{ role: "system", content: "Be brief." }, question] });
  expect(first).toMatchObject({ millrace: { standalone_question: null } });
  expect(llm.requests).toHaveLength(1);
});

test("without a model, a follow-up question gets the words of the one before it", async () => {
  llm.play(refuses(400));
  const completion = await client.chat.completions.create({ model: "m", messages: [...followUp] });
  expect(completion).toMatchObject({
    choices: [{ message: { content: expect.stringContaining("waggle dance. [1]") } }],
    millrace: { mode: "extractive", standalone_question: "what is it called (bees tell flowers)" },
  });
});

test("without a model that answers it is made of sentences of the sources", async () => {
  llm.play(refuses(400));
  const completion = await client.chat.completions.create({ model: "m", messages: [question] });
  expect(completion.choices[0]?.message.content).toContain("Honey bees dance to tell each other where the flowers are. [1]");
  expect(completion).toMatchObject({ millrace: { mode: "extractive", reason: "llm_unavailable" } });
});

const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
test.each([
  [
    "an image",
    { messages: [{ role: "user", content: [{ type: "text", text: "What is this?" }, image] }] },
    400,
    "chat.unsupported_content",
    "messages[0].content[1]",
  ],
  ["no message", { messages: [] }, 400, "chat.messages", "messages"],
  ["no question", { messages: [question, { role: "assistant", content: "Well," }] }, 400, "chat.question", "messages"],
  ["a tool's message", { messages: [{ role: "tool", content: "1", tool_call_id: "a" }, question] }, 400, "chat.role", "messages[0].role"],
  ["two answers", { messages: [question], n: 2 }, 400, "chat.n", "n"],
  ["JSON", { messages: [question], response_format: { type: "json_object" } }, 400, "chat.response_format", "response_format"],
  ["an empty question", { messages: [{ role: "user", content: " " }] }, 400, "query.empty", null],
  ["an unknown filter", { messages: [question], millrace: { filter: { type: "like" } } }, 400, "filter.invalid", null],
] as const)("%s is refused in OpenAI's form", async (_, body, status, code, param) => {
  const refused = await client.chat.completions.create({ model: "m", ...body } as never).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(APIError);
  expect(refused).toMatchObject({ status, code, param, type: "invalid_request_error" });
});

test("a wrong key, an unknown route beside it and a body that is none are refused in OpenAI's form", async () => {
  const stranger = new OpenAI({ baseURL: `${service.url}/v1`, apiKey: "mr_wrong", maxRetries: 0 });
  await expect(stranger.chat.completions.create({ model: "m", messages: [question] })).rejects.toMatchObject({
    status: 401,
    code: "key.invalid",
  });
  await expect(client.models.retrieve("gpt-5")).rejects.toMatchObject({ status: 404, code: "model.unknown" });
  const ingester = new OpenAI({ baseURL: `${service.url}/v1`, apiKey: await service.newKey("hive", ["ingest"]), maxRetries: 0 });
  await expect(ingester.chat.completions.create({ model: "m", messages: [question] })).rejects.toMatchObject({ status: 403 });
  const broken = await fetch(`${service.url}/v1/chat/completions`, {
    method: "POST",
    body: "{",
    headers: { authorization: `Bearer ${client.apiKey}` },
  });
  expect([broken.status, await broken.json()]).toMatchObject([
    400,
    { error: { code: "request.malformed", type: "invalid_request_error" } },
  ]);
});

test("the models are listed", async () => {
  expect((await client.models.list()).data).toMatchObject([{ id: "millrace", object: "model" }]);
  expect(await client.models.retrieve("millrace")).toMatchObject({ id: "millrace" });
});
