import { readdirSync, statSync, unlinkSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { ConfigError, DependencyError, errorMessage, limits, MillraceError } from "@millrace/core";
import type { TransformersConfig } from "@millrace/runtime";
import { isOutOfMemory } from "@millrace/runtime/child";

/** Where a revision of the hub's models is kept: `<folder>/<revision>/<model>/<file>`. A revision may have slashes (`refs/pr/1`). */
export function revisionFolder(cacheFolder: string, revision: string): string {
  return join(cacheFolder, encodeURIComponent(revision));
}

/** transformers.js writes to a file of such a name and moves it when it is whole; where its process is killed, that file stays. */
const unfinishedName = /\.tmp\.\d+\.-?\w+$/;

/** Removes what killed downloads of a model have left. A file that another process is at has just been written to, and stays. */
export function removeUnfinished(modelFolder: string): void {
  for (const path of filesIn(modelFolder).filter((name) => unfinishedName.test(name))) {
    try {
      if (Date.now() - statSync(path).mtimeMs > limits.downloadSilenceMs) unlinkSync(path);
    } catch {
      // Another process was faster.
    }
  }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  } catch {
    return []; // nothing was downloaded yet
  }
}

/**
 * Why a model could not be loaded, with its name and the way out.
 * @param error of transformers.js, which has a class of error for "not found" and words for all else
 * @param folder where downloads are kept
 */
export function loadError(error: unknown, { model, revision, hub, remote }: TransformersConfig, folder: string): MillraceError {
  if (error instanceof MillraceError) return error;
  const reason = reasonOf(error);
  const options = (hint: string) => ({ cause: error, hint });
  if (isOutOfMemory(error)) return new DependencyError("child.out_of_memory", reason, { cause: error });
  if (isAbsolute(model)) {
    const hint = "It needs config.json, tokenizer.json, tokenizer_config.json and the ONNX file of its dtype under onnx/.";
    return new ConfigError("model.unusable", `The model in ${model} cannot be loaded: ${reason}`, options(hint));
  }
  const name = `${model} (${revision})`;
  if (error instanceof Error && error.name === "ModelFileNotFoundError") {
    return remote
      ? new ConfigError("model.missing", `${hub} does not give what is needed of ${name}: ${reason}`, options(missingHint))
      : new ConfigError("model.missing", `${name} is not in ${folder}, and may not be downloaded`, options(localHint));
  }
  if (/^fetch failed|^terminated|while trying to load file/.test(reason))
    return new DependencyError("model.download_failed", `${name} could not be downloaded from ${hub}: ${reason}`, options(networkHint));
  const hint = `It must be a model for feature extraction that transformers.js can run. To download it anew, remove ${join(folder, model)}.`;
  return new ConfigError("model.unusable", `${name} cannot be loaded: ${reason}`, options(hint));
}

const missingHint =
  'Check "model", "revision" and "dtype" in MILLRACE_EMBEDDER: the ONNX file of that dtype must be under onnx/. What needs an account there, download by hand, and give its folder as "model".';
const localHint = 'Set "remote": true in MILLRACE_EMBEDDER, or give the absolute path of a folder as "model".';
const networkHint = 'Name a mirror that can be reached as "hub" in MILLRACE_EMBEDDER, or give the folder of a model as "model".';

/** "fetch failed" says nothing; its cause does. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const inner: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  return inner === undefined ? errorMessage(error) : `${errorMessage(error)}: ${errorMessage(inner)}`;
}
