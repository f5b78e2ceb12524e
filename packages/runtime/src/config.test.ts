import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { environmentSchema, loadConfig } from "./config.ts";

const example = Object.fromEntries(
  readFileSync(new URL("../../../.env.example", import.meta.url), "utf8")
    .split("\n")
    .filter((line) => /^[A-Z]/.test(line))
    .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
);

describe("configuration", () => {
  it("is described by .env.example: every variable, with its default", () => {
    expect(Object.keys(example).sort()).toEqual(Object.keys(environmentSchema.shape).sort());
    expect(loadConfig(example)).toEqual(loadConfig({}));
  });

  it("names every wrong variable at once", () => {
    const wrong = { MILLRACE_PORT: "70000", MILLRACE_MODEL_DTYPE: "float", MILLRACE_WORKERS: "none" };
    expect(() => loadConfig(wrong)).toThrow(/MILLRACE_PORT[\s\S]*MILLRACE_MODEL_DTYPE[\s\S]*MILLRACE_WORKERS/);
  });

  it("refuses a quota of tokens that no question could meet", () => {
    const llm = { LLM_BASE_URL: "http://127.0.0.1:1/v1", LLM_MODEL: "m" };
    expect(() => loadConfig({ ...llm, MILLRACE_QUOTA_KEY_TOKENS: "8000" })).toThrow(/MILLRACE_QUOTA_KEY_TOKENS/);
    expect(loadConfig({ ...llm, MILLRACE_QUOTA_KEY_TOKENS: "0" }).quotas.key.tokens).toBe(0);
  });

  it("refuses an overlap that leaves no room for new text", () => {
    expect(() => loadConfig({ MILLRACE_CHUNK_TOKENS_MAX: "100", MILLRACE_CHUNK_TOKENS_OVERLAP: "60" })).toThrow(/OVERLAP/);
  });
});
