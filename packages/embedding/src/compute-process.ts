import { type ChunkingOptions, chunkDocument, InvalidInputError, type ParsedDocument } from "@millrace/core";
import { serveChildRequests } from "@millrace/runtime";
import { batchesByLength } from "./batch.ts";
import { type ModelDtype, readModel } from "./model.ts";
import { type EmbeddingSession, openSession } from "./session.ts";
import { loadTokenizer } from "./tokenizer.ts";

/** Child process that holds the tokenizer and the model: everything that costs processor time and needs either. */
export type ComputeRequest =
  | { readonly kind: "count"; readonly texts: readonly string[] }
  | { readonly kind: "embed"; readonly texts: readonly string[] }
  | { readonly kind: "chunk"; readonly document: ParsedDocument; readonly options: ChunkingOptions };

const [folder = "", dtype = "int8", threads = "1"] = process.argv.slice(2);
const model = readModel(folder, dtype as ModelDtype);
const tokenizer = await loadTokenizer(folder);
/** Opened at the first text, so that a process which only chunks stays small. */
let session: Promise<EmbeddingSession> | undefined;

serveChildRequests(async (request: ComputeRequest) => {
  if (request.kind === "chunk") return chunkDocument(request.document, tokenizer, request.options);
  if (request.kind === "count") return request.texts.map((text) => tokenizer.encode(text).length);
  return embed(request.texts);
});

/** @returns all vectors one after another: `texts.length × dimension` */
async function embed(texts: readonly string[]): Promise<Float32Array> {
  const { dimension, tokensMax } = model.space;
  const encoded = texts.map((text) => tokenizer.encode(text));
  for (const ids of encoded) {
    if (ids.length > tokensMax) {
      throw new InvalidInputError("embed.too_long", `A text has ${ids.length} tokens, more than the ${tokensMax} that the model reads`, {
        hint: "Shorten it.",
      });
    }
  }
  session ??= openSession(model.onnxPath, dimension, Number(threads));
  const opened = await session;
  const vectors = new Float32Array(texts.length * dimension);
  for (const batch of batchesByLength(encoded.map((ids) => ids.length))) {
    const embedded = await opened.run(batch.map((index) => encoded[index] ?? []));
    for (const [position, index] of batch.entries()) vectors.set(embedded[position] ?? [], index * dimension);
  }
  return vectors;
}
