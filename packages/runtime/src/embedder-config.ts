import { readFileSync } from "node:fs";
import { ConfigError, errorMessage } from "@millrace/core";
import { z } from "zod";

/** What every embedder but the built-in one must be told: nothing of it can be seen from outside. */
const described = {
  /** Floats per vector. */
  dimension: z.int().min(1).max(32_768),
  /** Tokens per text at most, special tokens included. */
  tokensMax: z.int().min(16).max(131_072),
  /** Put before every query and every chunk, as the model was trained (`query: `, `passage: `). */
  queryPrefix: z.string().default(""),
  documentPrefix: z.string().default(""),
};

/** Any feature-extraction model that transformers.js can run, in this process's children. */
const transformers = z.strictObject({
  kind: z.literal("transformers"),
  /** A folder (absolute path), or an id on the hub. */
  model: z.string().min(1),
  /** Of a model on the hub: a commit stays what it is, `main` may change under you. */
  revision: z.string().min(1).default("main"),
  dtype: z.enum(["fp32", "fp16", "q8", "int8", "uint8", "q4"]).default("fp32"),
  pooling: z.enum(["mean", "cls", "last"]).default("mean"),
  /** A model on the hub is downloaded only where this is true. */
  remote: z.boolean().default(false),
  hub: z.url().default("https://huggingface.co"),
  ...described,
});

/** A server that speaks OpenAI's `POST <url>/embeddings`: TEI, vLLM, Ollama, another Millrace. */
const openai = z.strictObject({
  kind: z.literal("openai"),
  /** Up to and with `/v1`. */
  url: z.url({ protocol: /^https?$/ }),
  model: z.string().min(1),
  /** Change it when the server runs other weights under the same name: nothing else would tell. */
  revision: z.string().default(""),
  /** Folder with the model's tokenizer.json; without it tokens are estimated, rather too many than too few. */
  tokenizer: z.string().min(1).optional(),
  concurrency: z.int().min(1).max(256).default(4),
  batchTextsMax: z.int().min(1).max(2_048).default(32),
  batchTokensMax: z.int().min(16).default(16_384),
  timeoutMs: z.int().min(100).default(60_000),
  ...described,
});

const embedderConfig = z.discriminatedUnion("kind", [transformers, openai]);

export type TransformersConfig = z.output<typeof transformers>;
export type OpenAiConfig = z.output<typeof openai>;
export type EmbedderConfig = z.output<typeof embedderConfig>;

/**
 * @param value JSON, or the path of a file with it
 * @throws ConfigError `config.invalid` naming every wrong field at once
 */
export function parseEmbedderConfig(value: string): EmbedderConfig {
  const inline = value.trimStart().startsWith("{");
  const where = inline ? "MILLRACE_EMBEDDER" : value;
  let json: unknown;
  try {
    json = JSON.parse(inline ? value : readFileSync(value, "utf8"));
  } catch (error) {
    throw new ConfigError("config.invalid", `${where} is not JSON that can be read: ${errorMessage(error)}`, {
      cause: error,
      hint: "docs/embedders.md has examples.",
    });
  }
  const parsed = embedderConfig.safeParse(json);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new ConfigError("config.invalid", `Wrong embedder in ${where}:\n  ${problems.join("\n  ")}`, {
    hint: "docs/embedders.md has examples.",
  });
}
