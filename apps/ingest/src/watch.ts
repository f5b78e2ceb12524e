import { stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { errorMessage, isMillraceError } from "@millrace/core";
import { watch } from "chokidar";
import { findFiles, type IngestOptions, ingestPass, type PassDeps } from "./ingest-pass.ts";
import { printSummary } from "./ingest-summary.ts";
import { note, printable, printJson } from "./terminal.ts";
import type { FoundFile } from "./walk.ts";

/** Quiet after the last change before it is acted on: an editor saves by writing another file and renaming it. */
const quietMs = 400;
/** In a folder that never is quiet, changes are acted on after so long all the same. */
const quietMsMax = 5_000;
/** Everything is looked at again from time to time, since events can get lost. */
const rescanMs = 60_000;

/**
 * Keeps the documents below the paths true until the signal: new and changed files are ingested, documents of deleted ones removed. Changes only say
 * that it is time to look; what is done follows from the folder as it is then, so a lost or doubled event does no harm.
 */
export async function watchPaths(paths: readonly string[], options: IngestOptions, deps: PassDeps, signal: AbortSignal): Promise<void> {
  const changes = new Changes();
  const watcher = watch([...paths], { ignoreInitial: true, followSymlinks: false, ...(options.hidden ? {} : { ignored: isHidden }) });
  watcher.on("all", () => changes.add());
  watcher.on("error", (error) => note(`warning: watching failed, looking every ${rescanMs / 1_000} s: ${errorMessage(error)}`));
  const seen = new Map<string, string>();
  try {
    await new Promise<void>((resolve) => watcher.once("ready", () => resolve()));
    note(`Watching ${paths.map(printable).join(", ")}. Ctrl-C ends it.`);
    while (!signal.aborted) {
      await pass(paths, options, deps, seen, signal);
      await changes.quiet(signal);
    }
  } finally {
    await watcher.close();
  }
}

async function pass(
  paths: readonly string[],
  options: IngestOptions,
  deps: PassDeps,
  seen: Map<string, string>,
  signal: AbortSignal,
): Promise<void> {
  try {
    const found = await findFiles(paths, options, deps.config);
    const marks = new Map(await Promise.all(found.files.map(async (file) => [file.source, await markOf(file)] as const)));
    const isChanged = ({ source }: FoundFile): boolean => seen.get(source) !== marks.get(source);
    const { run, summary } = await ingestPass(found, options, deps, signal, isChanged);
    for (const source of [...seen.keys()]) if (!marks.has(source)) seen.delete(source);
    for (const [source, mark] of marks) seen.set(source, mark);
    const changed = summary.added + summary.updated + summary.deleted + summary.failed > 0;
    if (options.json && changed) printJson({ event: "summary", ...summary });
    else if (changed) printSummary(run, summary, { project: options.project, waited: options.wait });
  } catch (error) {
    if (signal.aborted) throw error;
    // Watching goes on: the next look may find the folder, or Redis, back again.
    const hint = isMillraceError(error) && error.hint !== undefined ? ` ${error.hint}` : "";
    note(`warning: ${printable(errorMessage(error) + hint)}`);
  }
}

/** Differs when the file was written or replaced, so that what has not changed need not be hashed again and again. */
async function markOf({ origin }: FoundFile): Promise<string> {
  const stats = await stat(origin, { bigint: true }).catch(() => undefined);
  return stats === undefined ? "gone" : `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
}

function isHidden(path: string): boolean {
  return /(?:^|[/\\])(?:\.[^/\\.][^/\\]*|node_modules)(?:[/\\]|$)/.test(path);
}

class Changes {
  #at = 0;
  #first = 0;
  #wake: () => void = () => undefined;

  add(): void {
    this.#at = performance.now();
    if (this.#first === 0) this.#first = this.#at;
    this.#wake();
  }

  /** Resolves when something changed and it has been quiet since, or it is time to look again anyway. */
  async quiet(signal: AbortSignal): Promise<void> {
    if (this.#first === 0) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const timer = new AbortController();
      await Promise.race([woken, delay(rescanMs, undefined, { signal: AbortSignal.any([signal, timer.signal]) }).catch(() => undefined)]);
      timer.abort();
    }
    while (this.#first !== 0 && !signal.aborted) {
      const now = performance.now();
      const waitMs = Math.min(this.#at + quietMs, this.#first + quietMsMax) - now;
      if (waitMs <= 0) break;
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
    this.#first = 0;
  }
}
