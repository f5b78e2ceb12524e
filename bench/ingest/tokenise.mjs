import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { embeddedText, headerFor } from "@millrace/core";
import { AutoTokenizer, env } from "@xenova/transformers";
import { runtime } from "./installation.mjs";

/** The product's default. */
const chunkTokensMax = 256;

/** The model that the set-up built. */
export function modelOf(dtype) {
  const modelPath = process.env.MILLRACE_MODEL || join(runtime, "models", "all-MiniLM-L6-v2");
  const { files, dimension } = JSON.parse(readFileSync(join(modelPath, "model.json"), "utf8"));
  const graph = (name) => ({ modelPath, dtype, dimension, onnxPath: join(modelPath, name) });
  // The graph that we run, and the one in the form that other tools take.
  return { ...graph(files[dtype].path), exchange: graph(`onnx/model${dtype === "int8" ? "_int8" : ""}.onnx`) };
}

/** The library's own tokenizer: text in, ids out, special tokens included. */
export async function encoderOf({ modelPath }) {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(modelPath);
  const tokenizer = await AutoTokenizer.from_pretrained(basename(modelPath), { local_files_only: true });
  return (text) => tokenizer.encode(text);
}

/**
 * What the product embeds chunks as, under their headers, and the token ids of that, special tokens included.
 * @throws Error when a text has not as many tokens as the product says
 */
export async function tokenise(model, chunks) {
  const encode = await encoderOf(model);
  const specialTokens = encode("").length;
  const counter = { specialTokens, count: (text) => encode(text).length - specialTokens };
  return chunks.map(({ source, title, headings, text, tokens }) => {
    const { length } = encode(text);
    if (length !== tokens) throw new Error(`A chunk of ${source} has ${length} tokens, and the product says ${tokens}`);
    const embedded = embeddedText({ header: headerFor({ title: title ?? "", headings, text }, chunkTokensMax - tokens, counter), text });
    return { source, text: embedded, ids: encode(embedded) };
  });
}
