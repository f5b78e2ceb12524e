import { createHash } from "node:crypto";
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { ConfigError, type EmbeddingSpace, errorMessage, pipelineFingerprintOf } from "@millrace/core";
import type { OpenAiConfig, TransformersConfig } from "@millrace/runtime";

/** How transformers.js names the file of a number format. */
const suffixes: Readonly<Record<TransformersConfig["dtype"], string>> = {
  fp32: "",
  fp16: "_fp16",
  q8: "_quantized",
  int8: "_int8",
  uint8: "_uint8",
  q4: "_q4",
};

/**
 * Of a folder, the bytes of the weights and the tokenizer decide, so that it may be moved; of a model on the hub, its id and revision.
 * @throws ConfigError `model.missing`
 */
export function transformersSpace(config: TransformersConfig): EmbeddingSpace {
  const { model, revision, dtype, pooling, dimension, tokensMax, queryPrefix, documentPrefix } = config;
  const identity = isAbsolute(model) ? { weights: folderHash(model, dtype) } : { model, revision };
  const fingerprint = pipelineFingerprintOf({ ...identity, dtype, pooling, dimension, tokensMax, queryPrefix, documentPrefix });
  return { modelId: isAbsolute(model) ? (model.split("/").at(-1) ?? model) : model, dtype, dimension, tokensMax, fingerprint };
}

/** Where the server stands does not matter: the same model is the same space on another machine. */
export function openAiSpace({ model, revision, dimension, tokensMax, queryPrefix, documentPrefix }: OpenAiConfig): EmbeddingSpace {
  const fingerprint = pipelineFingerprintOf({ served: model, revision, dimension, tokensMax, queryPrefix, documentPrefix });
  return { modelId: model, dimension, tokensMax, fingerprint };
}

/** Hash over weights and tokenizer. @throws ConfigError `model.missing` */
export function folderHash(folder: string, dtype: TransformersConfig["dtype"]): string {
  const name = `model${suffixes[dtype]}.onnx`;
  const hash = createHash("sha256");
  try {
    // Large models keep their weights in files beside the graph: model.onnx_data.
    const files = readdirSync(join(folder, "onnx")).filter((file) => file === name || file.startsWith(`${name}_data`));
    if (!files.includes(name)) throw new Error(`there is no ${join("onnx", name)}`);
    for (const path of ["tokenizer.json", ...files.sort().map((file) => join("onnx", file))]) {
      hash.update(`${path}\0`);
      hashFile(join(folder, path), hash);
    }
  } catch (error) {
    throw new ConfigError("model.missing", `No ${dtype} model in ${folder}: ${errorMessage(error)}`, {
      cause: error,
      hint: "It needs config.json, tokenizer.json and the ONNX file of its dtype under onnx/.",
    });
  }
  return hash.digest("hex");
}

/** Piece by piece: weights may be larger than what should be in memory. */
function hashFile(path: string, hash: ReturnType<typeof createHash>): void {
  const file = openSync(path, "r");
  try {
    const piece = Buffer.alloc(1 << 20);
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) hash.update(piece.subarray(0, read));
  } finally {
    closeSync(file);
  }
}
