import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, type EmbeddingSpace, errorMessage, pipelineFingerprintOf } from "@millrace/core";

export type ModelDtype = "fp32" | "int8";

/** A model folder as the set-up makes it: tokenizer, ONNX files, and `model.json` that describes them. */
export interface Model {
  readonly folder: string;
  readonly onnxPath: string;
  readonly space: EmbeddingSpace;
}

interface ModelDescription {
  readonly modelId: string;
  readonly dimension: number;
  readonly tokensMax: number;
  readonly pooling: string;
  readonly normalize: boolean;
  readonly files: Readonly<Record<string, { readonly path: string; readonly sha256: string } | undefined>>;
}

/** @throws ConfigError `model.missing`, `model.damaged` */
export function readModel(folder: string, dtype: ModelDtype): Model {
  let text: string;
  try {
    text = readFileSync(join(folder, "model.json"), "utf8");
  } catch (error) {
    throw new ConfigError("model.missing", `No embedding model in ${folder}: ${errorMessage(error)}`, {
      cause: error,
      hint: "Run `npm run setup`.",
    });
  }
  const description = parseDescription(text);
  const file = description?.files[dtype];
  if (description === undefined || file === undefined) {
    throw new ConfigError("model.damaged", `${join(folder, "model.json")} does not describe a ${dtype} model`, {
      hint: "Delete the folder and run `npm run setup`.",
    });
  }
  const { modelId, dimension, tokensMax, pooling, normalize } = description;
  return {
    folder,
    onnxPath: join(folder, file.path),
    space: {
      modelId,
      dtype,
      dimension,
      tokensMax,
      fingerprint: pipelineFingerprintOf({ weights: file.sha256, dtype, pooling, normalize, tokensMax }),
    },
  };
}

function parseDescription(text: string): ModelDescription | undefined {
  try {
    const value = JSON.parse(text) as Partial<ModelDescription>;
    const { modelId, dimension, tokensMax, pooling, normalize, files } = value;
    if (typeof modelId !== "string" || typeof dimension !== "number" || typeof tokensMax !== "number") return undefined;
    if (typeof pooling !== "string" || typeof normalize !== "boolean" || typeof files !== "object") return undefined;
    return { modelId, dimension, tokensMax, pooling, normalize, files };
  } catch {
    return undefined;
  }
}
