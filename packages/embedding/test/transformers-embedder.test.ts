import { type Embedder, isMillraceError } from "@millrace/core";
import { loadConfig, type TransformersConfig } from "@millrace/runtime";
import { describeEmbedder } from "@millrace/testing";
import { afterAll, expect, test } from "vitest";
import { LocalEmbedder } from "../src/local-embedder.ts";
import { TransformersEmbedder } from "../src/transformers-embedder.ts";

const { model } = loadConfig();
const signal = new AbortController().signal;
const base: TransformersConfig = {
  kind: "transformers",
  model: model.path,
  revision: "main",
  dtype: "fp32",
  pooling: "mean",
  remote: false,
  hub: "https://huggingface.co",
  dimension: 384,
  tokensMax: 256,
  queryPrefix: "",
  documentPrefix: "",
};
const opened: { close(): Promise<void> }[] = [];
afterAll(async () => {
  for (const each of opened) await each.close();
});

function open(changes: Partial<TransformersConfig> = {}): TransformersEmbedder {
  const embedder = new TransformersEmbedder({ config: { ...base, ...changes }, cacheFolder: "/nonexistent", threads: 1 });
  opened.push(embedder);
  return embedder;
}

describeEmbedder(
  "transformers.js",
  async () => {
    const embedder = open();
    return { embedder, close: () => embedder.close() };
  },
  { batchCosineMin: 1 - 1e-5 },
);

async function one(embedder: Embedder, text: string, purpose?: "query"): Promise<Float32Array> {
  return (await embedder.embed([text], signal, purpose))[0] ?? new Float32Array(0);
}

function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? Number.NaN), 0);
}

test("gives the vectors of our own session, with the prefix of the purpose", async () => {
  const own = new LocalEmbedder({ modelPath: model.path, dtype: "fp32" });
  opened.push(own);
  const generic = open({ queryPrefix: "query: ", documentPrefix: "passage: " });
  for (const text of ["The mill stands by the river.", "水車 🚰", ""]) {
    expect(cosine(await one(own, `passage: ${text}`), await one(generic, text))).toBeGreaterThan(1 - 1e-5);
    expect(cosine(await one(own, `query: ${text}`), await one(generic, text, "query"))).toBeGreaterThan(1 - 1e-5);
  }
  expect(cosine(await one(generic, "The mill"), await one(generic, "The mill", "query"))).toBeLessThan(0.999);
});

test("chunks leave room for the prefix", async () => {
  const embedder = open({ documentPrefix: "passage: ", tokensMax: 32 });
  const text = "water wheel grain stone ".repeat(100).trim();
  const document = { text, mediaType: "text/plain" as const, blocks: [{ kind: "paragraph" as const, start: 0, end: text.length }] };
  const options = { tokensMax: 256, tokensOverlap: 4, tokensMin: 4 };
  const chunks = await embedder.chunk({ ...document, metadata: {} } as never, options, signal);
  expect(chunks.length).toBeGreaterThan(10);
  expect(
    await embedder.embed(
      chunks.map((chunk) => chunk.text),
      signal,
    ),
  ).toHaveLength(chunks.length);
});

test("whatever changes vectors is another space", () => {
  const changes: Partial<TransformersConfig>[] = [
    { dtype: "int8" },
    { pooling: "cls" },
    { queryPrefix: "q: " },
    { documentPrefix: "p: " },
    { tokensMax: 128 },
  ];
  const fingerprints = [{}, ...changes].map((change) => open(change).space.fingerprint);
  expect(new Set(fingerprints).size).toBe(fingerprints.length);
});

test("a wrong dimension and a model that is not there are told", async () => {
  const error: unknown = await open({ dimension: 768 })
    .embed(["a"], signal)
    .catch((caught: unknown) => caught);
  expect(isMillraceError(error) ? error.code : error).toBe("embed.bad_output");
  expect(() => open({ model: "/nowhere" })).toThrow(/No fp32 model in \/nowhere/);
});
