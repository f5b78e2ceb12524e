import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { EmbedPurpose } from "@millrace/core";
import { type OpenEmbedder, openEmbedder } from "@millrace/embedding";
import { loadConfig } from "@millrace/runtime";
import { describeEmbedder } from "@millrace/testing";
import { Hono } from "hono";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addEmbeddingRoute } from "../src/embeddings.ts";
import { problemOf, problemResponse } from "../src/problem.ts";

/** /v1/embeddings on a socket, behind the real model; and our own client of that protocol against it, which closes the circle. */
let model: OpenEmbedder;
let url: string;
let close: () => Promise<void>;
const purposes: (EmbedPurpose | undefined)[] = [];
const config = { ...loadConfig({ ...process.env, MILLRACE_MODEL_DTYPE: "fp32" }) };

async function serve(): Promise<void> {
  model = openEmbedder(config);
  const app = new Hono<{ Variables: never }>() as never as Parameters<typeof addEmbeddingRoute>[0];
  app.use(async (context, next) => {
    const scopes = context.req.header("authorization") === "Bearer writer" ? (["ingest"] as const) : (["read"] as const);
    context.set("principal", { keyId: "k", project: undefined, scopes });
    await next();
  });
  app.onError((error, context) => problemResponse(problemOf(error), context.req.path));
  const recorded = {
    space: model.space,
    countTokens: (texts: readonly string[], signal: AbortSignal) => model.countTokens(texts, signal),
    embed: (texts: readonly string[], signal: AbortSignal, purpose?: EmbedPurpose) => {
      purposes.push(purpose);
      return model.embed(texts, signal, purpose);
    },
  };
  addEmbeddingRoute(app, recorded);
  const server = createServer(getRequestListener(app.fetch));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  close = async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await model.close();
  };
}

beforeAll(serve);
afterAll(() => close());

async function post(body: unknown, key = "reader"): Promise<{ status: number; body: Record<string, unknown> }> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  const response = await fetch(`${url}/embeddings`, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

test("answers in OpenAI's form, floats and base64 alike, with the tokens it read", async () => {
  const floats = await post({ input: ["The mill turns.", "a"], model: "all-MiniLM-L6-v2" });
  expect(floats.body).toMatchObject({ object: "list", model: "all-MiniLM-L6-v2", usage: { prompt_tokens: 9, total_tokens: 9 } });
  const data = floats.body["data"] as { index: number; object: string; embedding: number[] }[];
  expect(data.map(({ index, object }) => [index, object])).toEqual([
    [0, "embedding"],
    [1, "embedding"],
  ]);
  const coded = await post({ input: "The mill turns.", encoding_format: "base64", input_type: "query" });
  const bytes = Buffer.from((coded.body["data"] as { embedding: string }[])[0]?.embedding ?? "", "base64");
  expect(bytes).toHaveLength(384 * 4);
  for (const [index, value] of (data[0]?.embedding ?? []).entries()) expect(bytes.readFloatLE(index * 4)).toBeCloseTo(value, 5);
  expect(purposes).toEqual(["document", "query"]);
});

test("refuses what it cannot answer, with the reason", async () => {
  const wrong: [unknown, number, string][] = [
    [{}, 400, "embeddings.input"],
    [{ input: [] }, 400, "embeddings.input"],
    [{ input: [[1, 2]] }, 400, "embeddings.input"],
    [{ input: Array(257).fill("a") }, 400, "embeddings.input"],
    [{ input: "a", encoding_format: "hex" }, 400, "embeddings.encoding_format"],
    [{ input: "a", dimensions: 100 }, 400, "embeddings.dimensions"],
    [{ input: "a", model: "gpt" }, 404, "model.unknown"],
    [{ input: ["a", "word ".repeat(300)] }, 400, "embed.too_long"],
    [{ input: "a".repeat(1_100_000) }, 413, "request.too_large"],
  ];
  for (const [body, status, code] of wrong) expect(await post(body)).toMatchObject({ status, body: { code } });
  expect(await post({ input: "a" }, "writer")).toMatchObject({
    status: 403,
    body: { code: "key.scope", hint: expect.stringContaining("--scope read") },
  });
});

describeEmbedder(
  "our own /v1/embeddings",
  async () => {
    const described = { kind: "openai", url, model: "all-MiniLM-L6-v2", dimension: 384, tokensMax: 256, tokenizer: config.model.path };
    const embedder = openEmbedder(loadConfig({ ...process.env, MILLRACE_EMBEDDER: JSON.stringify(described) }));
    return { embedder, close: () => embedder.close() };
  },
  { batchCosineMin: 1 - 1e-5 },
);
