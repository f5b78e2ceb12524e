import { existsSync } from "node:fs";
import { join } from "node:path";
import { pipelineFingerprintOf, type Reranker } from "@millrace/core";
import { ChildPool } from "@millrace/runtime";
import { askChild } from "./ask-child.ts";
import type { RerankProcessOptions, RerankRequest } from "./rerank-process.ts";
import { folderHash } from "./space.ts";

/** Includes loading the model at the first request. */
const requestTimeoutMs = 60_000;

export interface TransformersRerankerOptions {
  /** Absolute path. */
  readonly folder: string;
  readonly threads: number;
}

/** A cross-encoder in a child process: any sequence classifier of transformers.js with one output, or with two of which the second means "fits". */
export class TransformersReranker implements Reranker {
  readonly fingerprint: string;
  readonly #pool: ChildPool;

  /** @throws ConfigError `model.missing` */
  constructor({ folder, threads }: TransformersRerankerOptions) {
    // The smaller file is several times as fast on a processor, and hardly worse.
    const dtype = existsSync(join(folder, "onnx", "model_int8.onnx")) ? "int8" : "fp32";
    this.fingerprint = pipelineFingerprintOf({ reranker: folderHash(folder, dtype) });
    const options: RerankProcessOptions = { folder, dtype, threads };
    this.#pool = new ChildPool({
      entry: new URL(import.meta.resolve("@millrace/embedding/rerank-process")),
      size: 1,
      args: [JSON.stringify(options)],
    });
  }

  /** Loads the model. @throws ConfigError `model.no_reranker` */
  async start(signal: AbortSignal): Promise<void> {
    await this.score("ready", ["ready"], signal);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  score(query: string, texts: readonly string[], signal: AbortSignal): Promise<number[]> {
    signal.throwIfAborted();
    const request: RerankRequest = { query, texts };
    return askChild<number[]>(this.#pool, request, { signal, timeoutMs: requestTimeoutMs }, "rerank.unavailable");
  }
}
