import { describe, expect, it } from "vitest";
import { DependencyError } from "../errors.ts";
import { parseProjectName } from "../project.ts";
import { parseSearchRequest } from "../search-request.ts";
import { type AnswerKeeper, type CachedAnswerDeps, cachedAnswer } from "./cached-answer.ts";
import type { LanguageModel } from "./language-model.ts";

const signal = new AbortController().signal;
const question = {
  search: parseSearchRequest(parseProjectName("p"), { query: "how do bees dance" }),
  ...{ conversation: [], answerTokensMax: undefined },
};
const model: LanguageModel = {
  ...{ fingerprint: "m", preferredModel: "m", contextTokensMax: 4_096, answerTokensMax: 100 },
  async generate({ onDelta }) {
    onDelta("They waggle [1].");
    return { model: "m", finish: "stop", usage: { promptTokens: 5, completionTokens: 3 } };
  },
};

/** The first who computed for everybody failed with this. */
function afterFailure(error: Error): CachedAnswerDeps {
  let calls = 0;
  const keeper: AnswerKeeper = {
    ...{ read: async () => undefined, keep: async () => undefined, confirm: async () => undefined, drop: async () => undefined },
    ...{ earlier: async () => [], keepQuestion: async () => undefined },
    async once(_, flight) {
      if (calls++ === 0) throw error;
      return { value: await flight.compute(signal), role: "led" };
    },
  };
  const hit = { chunkId: "c", project: "p", documentId: "d", generation: "g", source: "s", mediaType: "text/plain", title: "" } as const;
  return {
    model,
    keeper,
    embed: async () => [],
    step: (_, action) => action(),
    retrieve: async () => [
      {
        ...hit,
        ingestedAt: 0,
        metadata: {},
        ordinal: 0,
        text: "Bees waggle.",
        span: { start: 0, end: 12 },
        headings: [],
        tokens: 3,
        score: 1,
      },
    ],
    ledger: { epoch: async () => "1", liveGenerations: async () => new Map() },
    setting: { keyScope: "read", spaceFingerprint: "s", rerankerFingerprint: null },
    similarityMin: undefined,
  };
}

describe("who waited for somebody that failed", () => {
  it("makes the answer himself, where the reason was the other one's own", async () => {
    const deps = afterFailure(new Error("that one's quota is used up"));
    expect(await cachedAnswer(question, model, deps, () => undefined, signal)).toMatchObject({
      cache: "miss",
      answer: { answer: "They waggle [1]." },
    });
  });

  it("is told of an outage, which is everybody's", async () => {
    const deps = afterFailure(new DependencyError("store.unavailable", "away"));
    await expect(cachedAnswer(question, model, deps, () => undefined, signal)).rejects.toThrow("away");
  });
});
