import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, errorMessage, pipelineFingerprintOf } from "@millrace/core";
import { z } from "zod";
import type { Config } from "./config.ts";

/** Raise it when a parser or the chunker yields something else for the same bytes: every document is then an update. */
const pipelineVersion = 2;

const modelDescription = z.object({ files: z.record(z.string(), z.object({ sha256: z.string().length(64) })) });

/**
 * Fingerprint of everything besides the bytes that decides how a document becomes vectors. The producer and the workers compute it from the
 * same configuration; small enough a job that the producer needs no model in memory.
 * @throws ConfigError `model.missing`, `model.damaged`
 */
export async function loadPipelineFingerprint(config: Config): Promise<string> {
  const { path, dtype } = config.model;
  let text: string;
  try {
    text = await readFile(join(path, "model.json"), "utf8");
  } catch (error) {
    throw new ConfigError("model.missing", `No embedding model in ${path}: ${errorMessage(error)}`, {
      cause: error,
      hint: "Run `npm run setup`.",
    });
  }
  const description = modelDescription.safeParse(parseJson(text));
  const weights = description.success ? description.data.files[dtype]?.sha256 : undefined;
  if (weights === undefined) {
    throw new ConfigError("model.damaged", `${join(path, "model.json")} does not describe a ${dtype} model`, {
      hint: "Delete the folder and run `npm run setup`.",
    });
  }
  return pipelineFingerprintOf({ pipelineVersion, weights, dtype, ...config.chunking });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
