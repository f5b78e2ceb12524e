import { type EmbedPurpose, InvalidInputError, limits } from "@millrace/core";
import type { OpenEmbedder } from "@millrace/embedding";
import type { Hono } from "hono";
import { type Env, requireScope } from "./authenticate.ts";
import { Refusal } from "./problem.ts";
import { jsonOf, limitBody } from "./request-body.ts";

interface EmbeddingRequest {
  readonly texts: readonly string[];
  readonly base64: boolean;
  readonly purpose: EmbedPurpose;
}

/** OpenAI's `POST /v1/embeddings`, answered by the configured model, on an app that has authenticated the request. */
export function addEmbeddingRoute(app: Hono<Env>, model: Pick<OpenEmbedder, "space" | "embed" | "countTokens">): void {
  const { modelId, dimension, tokensMax } = model.space;
  app.post("/v1/embeddings", limitBody(limits.embeddingsBodyBytesMax, "Send fewer texts."), async (context) => {
    requireScope(context.get("principal"), "read");
    const { texts, base64, purpose } = parseRequest(await jsonOf(context.req), modelId, dimension);
    const signal = AbortSignal.any([context.req.raw.signal, AbortSignal.timeout(limits.requestTimeoutMs)]);
    const counts = await model.countTokens(texts, signal);
    const tooLong = counts.findIndex((count) => count > tokensMax);
    if (tooLong >= 0) {
      const message = `Text ${tooLong} of \`input\` has ${counts[tooLong]} tokens, more than the ${tokensMax} that the model reads`;
      throw new InvalidInputError("embed.too_long", message, { hint: "Shorten it: nothing is cut off silently." });
    }
    const vectors = await model.embed(texts, signal, purpose);
    const tokens = counts.reduce((sum, count) => sum + count, 0);
    return context.json({
      object: "list",
      data: vectors.map((vector, index) => ({
        object: "embedding",
        index,
        embedding: base64 ? Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64") : Array.from(vector),
      })),
      model: modelId,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    });
  });
}

function parseRequest(body: unknown, modelId: string, dimension: number): EmbeddingRequest {
  const fields = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const { input, model, encoding_format: format = "float", dimensions = dimension, input_type: purpose = "document" } = fields;
  if (model !== undefined && model !== modelId) {
    throw new Refusal(404, "model.unknown", `There is no model ${JSON.stringify(model)}`, `The one that is configured is "${modelId}".`);
  }
  const texts: unknown = typeof input === "string" ? [input] : input;
  if (!Array.isArray(texts) || texts.length === 0 || texts.length > limits.embeddingsTextsMax || !texts.every(isText)) {
    throw new InvalidInputError(
      "embeddings.input",
      `\`input\` is a text or 1 to ${limits.embeddingsTextsMax} of them; token ids are not taken`,
    );
  }
  if (format !== "float" && format !== "base64") {
    throw new InvalidInputError("embeddings.encoding_format", '`encoding_format` is "float" or "base64"');
  }
  if (dimensions !== dimension) {
    throw new InvalidInputError("embeddings.dimensions", `The model has ${dimension} dimensions, and they cannot be fewer`);
  }
  if (purpose !== "document" && purpose !== "query") {
    throw new InvalidInputError("embeddings.input_type", '`input_type` is "document" or "query"');
  }
  return { texts, base64: format === "base64", purpose };
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
