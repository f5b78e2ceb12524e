import { describe, expect, it } from "vitest";
import { type AnswerSetting, answerKey, answerPartition } from "./cache-key.ts";
import { parseProjectName } from "./project.ts";
import { parseSearchRequest, type SearchRequest } from "./search-request.ts";

const project = parseProjectName("p");
const filter = { type: "eq", key: "source", value: "a" };
const request = (more: object = {}): SearchRequest => parseSearchRequest(project, { query: "q", ...more });
const setting: AnswerSetting = {
  ...{
    keyScope: "read",
    modelFingerprint: "m",
    promptVersion: 1,
    spaceFingerprint: "s",
    rerankerFingerprint: null,
    conversation: [],
    answerTokensMax: null,
  },
};

describe("answers of questions may stand for each other", () => {
  it("whatever the question is, and in whatever order a filter's fields stand", () => {
    expect(answerPartition(request({ query: "other" }), setting)).toBe(answerPartition(request(), setting));
    const turned = { value: "a", key: "source", type: "eq" };
    expect(answerPartition(request({ filter: turned }), setting)).toBe(answerPartition(request({ filter }), setting));
  });

  it.each<[string, object, Partial<AnswerSetting>]>([
    ["filter", { filter }, {}],
    ["number of sources", { top_k: 3 }, {}],
    ["mode", { mode: "dense" }, {}],
    ["weights", { weights: { dense: 1, keyword: 0.1 } }, {}],
    ["fusion", { fusion: "ranks" }, {}],
    ["grouping", { group_by: "document", group_size: 2 }, {}],
    ["minimal score", { min_score: 0.2 }, {}],
    ["diversity", { diversity: 0.3 }, {}],
    ["expansion", { expand: "section" }, {}],
    ["wish for a reranker", { rerank: true }, {}],
    ["reranker", {}, { rerankerFingerprint: "other" }],
    ["scope of the key", {}, { keyScope: "ingest read" }],
    ["model", {}, { modelFingerprint: "other" }],
    ["prompt", {}, { promptVersion: 2 }],
    ["embedding space", {}, { spaceFingerprint: "other" }],
    ["conversation", {}, { conversation: [{ role: "user", content: "hello" }] }],
    ["length of the answer", {}, { answerTokensMax: 100 }],
  ])("but not with another %s", (_, search, own) => {
    expect(answerPartition(request(search), { ...setting, ...own })).not.toBe(answerPartition(request(), setting));
  });

  it("nor in another project", () => {
    const foreign = { ...request(), project: parseProjectName("q") };
    expect(answerPartition(foreign, setting)).not.toBe(answerPartition(request(), setting));
    expect(answerKey(project, "x", "q")).not.toBe(answerKey(foreign.project, "x", "q"));
  });
});
