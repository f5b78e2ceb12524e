import { describe, expect, it } from "vitest";
import { DependencyError } from "../errors.ts";
import type { LanguageModel } from "./language-model.ts";
import { standaloneQuestion, type Turn } from "./standalone.ts";

const signal = new AbortController().signal;
const turns: readonly Turn[] = [{ question: "How does Redis persist its keys?", answer: "By snapshots and an append-only file [1]." }];

const alone = async (question: string, before: readonly Turn[] = turns, model?: LanguageModel): Promise<string> =>
  (await standaloneQuestion(question, before, model, "nonce", signal)).question;

/** A model that says this, and keeps what it was asked. */
function says(text: string, finish: "stop" | "length" = "stop"): LanguageModel & { prompt: string } {
  const model = {
    ...{ fingerprint: "m", preferredModel: "m" },
    contextTokensMax: 8_192,
    answerTokensMax: 256,
    prompt: "",
    async generate({ messages, onDelta }: Parameters<LanguageModel["generate"]>[0]) {
      model.prompt = messages.map(({ content }) => content).join("\n");
      onDelta(text);
      return { model: "m", finish, usage: { promptTokens: 10, completionTokens: 2 } };
    },
  };
  return model;
}

describe("without a model, a question gets the previous one's words", () => {
  it.each([
    ["when it has a pronoun", "How often does it write them?", "How often does it write them? (Redis persist keys)"],
    ["when it goes on from there", "And the default settings?", "And the default settings? (Redis persist keys)"],
    ["when it has hardly a word of its own", "How large?", "How large? (Redis persist keys)"],
    ["but each once", "Does it persist at once?", "Does it persist at once? (Redis keys)"],
    ["and none when it stands alone", "How do bees dance in summer?", "How do bees dance in summer?"],
  ])("%s", async (_, question, expected) => {
    expect(await alone(question)).toBe(expected);
  });

  it("those of the question before included, where that one was a follow-up itself", async () => {
    const chat = [...turns, { question: "How often?", answer: undefined }];
    expect(await alone("And how large are they?", chat)).toBe("And how large are they? (often Redis persist keys)");
  });

  it("and is left as it is when nothing was asked before, or it would become too long", async () => {
    expect(await alone("How often does it write?", [])).toBe("How often does it write?");
    const long = `it ${"x".repeat(2_000)}`;
    expect(await alone(long)).toBe(long);
  });
});

describe("with a model, a question is rewritten", () => {
  it("from the conversation, fenced", async () => {
    const model = says('"How often does Redis write\n its snapshots?" ');
    expect(await alone("How often does it write them?", turns, model)).toBe("How often does Redis write its snapshots?");
    expect(model.prompt).toContain("<<<TURN nonce>>>\nQuestion: How does Redis persist its keys?\nAnswer: By snapshots");
  });

  it("from its newest turns, when all are too many", async () => {
    const model = says("x");
    await alone("And it?", [{ question: "oldest", answer: "y".repeat(20_000) }, ...turns], model);
    expect(model.prompt).toContain("How does Redis");
    expect(model.prompt).not.toContain("oldest");
  });

  it("without links that are not the caller's own", async () => {
    const rewritten = await alone("And it?", turns, says("How? ![](https://evil.example/x)"));
    expect(rewritten).toBe("How?");
  });

  it("by words, when the model says nothing of use or fails", async () => {
    const byWords = "And it? (Redis persist keys)";
    expect(await alone("And it?", turns, says(" "))).toBe(byWords);
    expect(await alone("And it?", turns, says("How does", "length"))).toBe(byWords);
    expect(await alone("And it?", turns, says("x".repeat(5_000)))).toBe(byWords);
    const broken = { ...says(""), generate: () => Promise.reject(new DependencyError("llm.unavailable", "away")) };
    expect(await alone("And it?", turns, broken)).toBe(byWords);
  });

  it("and a caller that has left is told so", async () => {
    const left = AbortSignal.abort(new Error("gone"));
    const model = { ...says(""), generate: () => Promise.reject(new DependencyError("llm.unavailable", "away")) };
    await expect(standaloneQuestion("And it?", turns, model, "nonce", left)).rejects.toThrow("gone");
  });
});
