import { createInterface } from "node:readline/promises";
import { setFlagsFromString } from "node:v8";
import { type Metadata, parseMetadata, parseProjectName } from "@millrace/core";
import { embeddingSpaceOf } from "@millrace/embedding";
import { loadConfig, pipelineFingerprint } from "@millrace/runtime";
import { type Command, InvalidArgumentError } from "commander";
import { findFiles, type IngestOptions, Interrupted, ingestPass, type PassDeps } from "../ingest-pass.ts";
import { printSummary } from "../ingest-summary.ts";
import { type PlannedChange, planChanges } from "../plan.ts";
import { Progress } from "../progress.ts";
import { findRemoved } from "../prune.ts";
import { openSession } from "../session.ts";
import { bytesText, durationText, note, print, printable, printJson } from "../terminal.ts";

const interruptedExitCode = 130;
/** Chunks per second before there is a measured rate: int8 on two cores. */
const assumedRate = 30;

export function addIngestCommand(program: Command): void {
  const collect = (value: string, before: string[]): string[] => [...before, value];
  program
    .command("ingest")
    .description("Ingest files and folders: what is new or changed is processed, what is unchanged costs a hash.")
    .argument("<paths...>", "files, and folders with everything below them")
    .option("-p, --project <slug>", "project to ingest into", "default")
    .option("--root <folder>", "what document names are relative to (default: the folder given, or the file's own)")
    .option("--ignore <glob>", "leave out what matches, as a line of .gitignore would; may be repeated", collect, [])
    .option("--hidden", "also dotfiles and node_modules", false)
    .option("--prune", "delete documents whose files are gone from below the folders given", false)
    .option("--plan", "only say what would be added, updated and deleted", false)
    .option("--watch", "go on and keep the documents true to the folders, deletions included, until interrupted", false)
    .option("-y, --yes", "delete without asking, however many documents it is", false)
    .option("--metadata <key=value>", "give every document this, to filter by; may be repeated", metadataOption, {})
    .option("--no-wait", "end when everything is on the queue")
    .option("--force", "process again what is unchanged, or failed for good before", false)
    .option("--take-over", "replace documents of the same name that were read from other files", false)
    .option("--json", "one JSON object per line on stdout, the summary last", false)
    .action(async (paths: string[], options: IngestOptions) => {
      process.exitCode = await ingest(paths, { ...options, prune: options.prune || options.watch });
    });
}

/** Answers with the exit code. */
async function ingest(paths: readonly string[], options: IngestOptions): Promise<number> {
  // Events and files come and go by the thousand: what is new in the heap would be given room for ten times what is kept of it.
  setFlagsFromString("--semi-space-growth-factor=1");
  const config = loadConfig();
  parseProjectName(options.project);
  // Wrong paths and settings are told before anything is started.
  const found = await findFiles(paths, options, config);
  const space = embeddingSpaceOf(config);
  const fingerprint = pipelineFingerprint(config, space);
  const session = await openSession(config, { start: true });
  const interrupt = onInterrupt();
  const deps: PassDeps = {
    config,
    session,
    fingerprint,
    progress: new Progress(process.stderr),
    confirm: process.stdin.isTTY && !options.json ? ask : undefined,
  };
  try {
    await session.spaces.claim(parseProjectName(options.project), space);
    if (options.plan) return await plan(found, options, deps, interrupt.signal);
    if (options.watch) {
      const { watchPaths } = await import("../watch.ts");
      await watchPaths(paths, options, deps, interrupt.signal);
      return 0;
    }
    const { run, summary } = await ingestPass(found, options, deps, interrupt.signal);
    if (options.json) printJson({ event: "summary", ...summary });
    else printSummary(run, summary, { project: options.project, waited: options.wait });
    return summary.failed > 0 ? 1 : 0;
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    if (options.watch || options.plan) return 0;
    const open = error instanceof Interrupted ? error.run.openDocumentIds().length : 0;
    note(`Interrupted. What is on the queue (${open} documents) is processed in the background all the same;`);
    note("the same command again goes on from there and shows how far it is.");
    return interruptedExitCode;
  } finally {
    interrupt.release();
    await session.close();
  }
}

async function plan(
  found: Awaited<ReturnType<typeof findFiles>>,
  options: IngestOptions,
  deps: PassDeps,
  signal: AbortSignal,
): Promise<number> {
  const { ledger } = deps.session;
  const project = parseProjectName(options.project);
  const removed = options.prune ? await findRemoved(ledger, project, found) : [];
  const { fingerprint } = deps;
  const { metadata, force, json } = options;
  const counts = { add: 0, update: 0, unchanged: 0, remove: 0, fail: 0 };
  let bytes = 0;
  let chunks = 0;
  for await (const change of planChanges(found, removed, { project, fingerprint, metadata, force }, ledger, signal)) {
    counts[change.action]++;
    if (change.action === "add" || change.action === "update") bytes += change.bytes;
    chunks += change.estimatedChunks;
    printChange(change, json);
  }
  const seconds = Math.round((chunks / ((await ledger.rate()) ?? assumedRate)) * 10) / 10;
  if (json) {
    printJson({
      event: "plan_summary",
      ...counts,
      skipped: found.skipped.length,
      bytes,
      estimated_chunks: chunks,
      estimated_seconds: seconds,
    });
  } else {
    print(
      `${counts.add} to add, ${counts.update} to update, ${counts.remove} to delete, ${counts.unchanged} unchanged, ${counts.fail} would fail`,
    );
    if (chunks > 0) print(`${bytesText(bytes)}, about ${chunks} chunks and ${durationText(seconds)}. Nothing was changed.`);
  }
  return 0;
}

function printChange({ action, source, bytes, estimatedChunks, reason }: PlannedChange, json: boolean): void {
  if (json) printJson({ event: "plan", action, source, bytes, estimated_chunks: estimatedChunks, ...(reason === "" ? {} : { reason }) });
  else if (action !== "unchanged")
    print(`${action.padEnd(7)} ${printable(source)}  ${bytesText(bytes)}${reason === "" ? "" : `  ${printable(reason)}`}`);
}

function metadataOption(text: string, before: Metadata): Metadata {
  const [, key = "", value = ""] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === "") throw new InvalidArgumentError("It must have the form key=value.");
  return parseMetadata({ ...before, [key]: scalarOf(value) });
}

/** Numbers and true or false as such, so that they compare as such; anything else is text. */
function scalarOf(text: string): string | number | boolean {
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text;
}

async function ask(question: string): Promise<boolean> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `)).trim());
  } finally {
    prompt.close();
  }
}

function onInterrupt(): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(interruptedExitCode);
    controller.abort(new Error("interrupted"));
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return { signal: controller.signal, release: () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal) };
}
