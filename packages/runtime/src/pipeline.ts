import { type EmbeddingSpace, pipelineFingerprintOf } from "@millrace/core";
import type { Config } from "./config.ts";

/** Raise it when a parser or the chunker yields something else for the same bytes: every document is then an update. */
const pipelineVersion = 5;

/**
 * Fingerprint of everything besides the bytes that decides how a document becomes vectors. The producer and the workers compute it from the
 * same configuration, without a model in memory.
 */
export function pipelineFingerprint({ chunking }: Pick<Config, "chunking">, space: EmbeddingSpace): string {
  return pipelineFingerprintOf({ pipelineVersion, space: space.fingerprint, ...chunking });
}
