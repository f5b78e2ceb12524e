import { type Chunk, type ChunkingOptions, chunkDocument, embeddedText, InvalidInputError, type ParsedDocument } from "@millrace/core";
import { serveChildRequests } from "@millrace/runtime/child";
import { type ModelDtype, readModel } from "./model.ts";
import { type EmbeddingSession, openSession } from "./session.ts";
import { loadTokenizer } from "./tokenizer.ts";

/** Child process that holds the tokenizer and the model: everything that costs processor time and needs either. */
export type ComputeRequest =
  | { readonly kind: "count"; readonly texts: readonly string[] }
  /** Texts, or their token ids where they are known. */
  | { readonly kind: "embed"; readonly texts: readonly (string | Int32Array)[] }
  | { readonly kind: "chunk"; readonly document: ParsedDocument; readonly options: ChunkingOptions };

export interface ChunkReply {
  readonly chunks: readonly Chunk[];
  /** Token ids of what all chunks are embedded as, one after another, so that nobody has to find them again. */
  readonly ids: Int32Array;
  /** How many of them belong to each chunk. */
  readonly lengths: readonly number[];
}

const [folder = "", dtype = "int8"] = process.argv.slice(2);
const model = readModel(folder, dtype as ModelDtype);
const tokenizer = loadTokenizer(folder);
/** Opened at the first text, so that a process which only chunks stays small. */
let session: Promise<EmbeddingSession> | undefined;
/** Requests to embed take turns: two at once would only both be late. A request to chunk, which brings new work, goes between two texts. */
let lastTurn: Promise<unknown> = Promise.resolve();

serveChildRequests(async (request: ComputeRequest) => {
  if (request.kind === "chunk") return chunk(request.document, request.options);
  if (request.kind === "count") return request.texts.map((text) => tokenizer.encode(text).length);
  const turn = lastTurn.then(() => embed(request.texts));
  lastTurn = turn.catch(() => undefined);
  return turn;
});

async function chunk(document: ParsedDocument, options: ChunkingOptions): Promise<ChunkReply> {
  const chunks = chunkDocument(document, tokenizer, options);
  const lengths = chunks.map(({ tokens, header = "" }) => tokens + tokenizer.count(header));
  const ids = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  let offset = 0;
  for (const [index, each] of chunks.entries()) {
    ids.set(tokenizer.encode(embeddedText(each)), offset);
    offset += lengths[index] ?? 0;
  }
  return { chunks, ids, lengths };
}

/** @returns all vectors one after another: `texts.length × dimension` */
async function embed(texts: readonly (string | Int32Array)[]): Promise<Float32Array> {
  const { dimension, tokensMax } = model.space;
  const encoded = texts.map((text) => (typeof text === "string" ? Int32Array.from(tokenizer.encode(text)) : text));
  for (const ids of encoded) {
    if (ids.length > tokensMax) {
      throw new InvalidInputError("embed.too_long", `A text has ${ids.length} tokens, more than the ${tokensMax} that the model reads`, {
        hint: "Shorten it.",
      });
    }
  }
  session ??= openSession(model.onnxPath, dimension);
  const opened = await session;
  const vectors = new Float32Array(texts.length * dimension);
  for (const [index, ids] of encoded.entries()) vectors.set(await opened.run(ids), index * dimension);
  return vectors;
}
