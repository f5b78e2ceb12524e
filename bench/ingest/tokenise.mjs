import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { AutoTokenizer, env } from "@xenova/transformers";
import { runtime } from "./installation.mjs";

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

/** Adds the token ids, special tokens included. @throws Error when they are not as many as the product says */
export async function tokenise(model, chunks) {
  const encode = await encoderOf(model);
  return chunks.map((chunk) => {
    const ids = encode(chunk.text);
    if (ids.length !== chunk.tokens)
      throw new Error(`A chunk of ${chunk.source} has ${ids.length} tokens, and the product says ${chunk.tokens}`);
    return { ...chunk, ids };
  });
}
