import type { EmbeddingSpace } from "@millrace/core";
import type { Config } from "@millrace/runtime";
import { LocalEmbedder } from "./local-embedder.ts";
import { readModel } from "./model.ts";

/** The space of the configured model, without the model in memory. @throws ConfigError `model.missing`, `model.damaged` */
export function embeddingSpaceOf({ model }: Pick<Config, "model">): EmbeddingSpace {
  return readModel(model.path, model.dtype).space;
}

export interface OpenEmbedderOptions {
  /** Threads of one compute process. Default: the cores this process may use. */
  readonly threads?: number;
}

/** The configured embedder. @throws ConfigError as `embeddingSpaceOf` */
export function openEmbedder({ model }: Pick<Config, "model">, options: OpenEmbedderOptions = {}): LocalEmbedder {
  return new LocalEmbedder({ modelPath: model.path, dtype: model.dtype, ...options });
}
