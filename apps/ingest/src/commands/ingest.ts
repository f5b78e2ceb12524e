import { randomUUID } from "node:crypto";
import { parseProjectName } from "@millrace/core";
import { loadConfig, loadPipelineFingerprint } from "@millrace/runtime";
import type { Command } from "commander";
import { follow } from "../follow.ts";
import { IngestRun, isFailure } from "../ingest-run.ts";
import { printSummary } from "../ingest-summary.ts";
import { type ProduceRequest, produce, reject } from "../produce.ts";
import { Progress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";
import { watchForStandstill } from "../standstill.ts";
import { note, printable, printJson } from "../terminal.ts";
import { type WalkResult, walk } from "../walk.ts";

interface IngestOptions {
  readonly project: string;
  readonly root?: string;
  readonly ignore: readonly string[];
  readonly hidden: boolean;
  readonly wait: boolean;
  readonly json: boolean;
  readonly force: boolean;
  readonly takeOver: boolean;
}

const progressMs = 250;
const interruptedExitCode = 130;

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
    .option("--no-wait", "end when everything is on the queue")
    .option("--force", "process again what is unchanged, or failed for good before", false)
    .option("--take-over", "replace documents of the same name that were read from other files", false)
    .option("--json", "one JSON object per line on stdout, the summary last", false)
    .action(async (paths: string[], options: IngestOptions) => {
      process.exitCode = await ingest(paths, options);
    });
}

/** Answers with the exit code. */
async function ingest(paths: readonly string[], options: IngestOptions): Promise<number> {
  const config = loadConfig();
  const project = parseProjectName(options.project);
  const { hidden, ignore, root, force, takeOver } = options;
  const { documentBytesMax } = config;
  const found = await walk(paths, { hidden, ignore, documentBytesMax, ...(root === undefined ? {} : { root }) });
  const fingerprint = await loadPipelineFingerprint(config);

  const session = await openSession(config, { start: true });
  const progress = new Progress(process.stderr);
  const run = startRun(found, options, progress);
  const request: ProduceRequest = { project, ingestId: run.ingestId, fingerprint, documentBytesMax, force, takeOver };
  const interrupt = onInterrupt();
  const timer = setInterval(() => progress.show(run), progressMs);
  try {
    await runToEnd(found, run, session, request, options.wait, interrupt.signal);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    progress.clear();
    note(`Interrupted. What is on the queue (${run.openDocumentIds().length} documents) is processed in the background all the same;`);
    note("the same command again goes on from there and shows how far it is.");
    return interruptedExitCode;
  } finally {
    clearInterval(timer);
    interrupt.release();
    progress.clear();
    await session.close();
  }
  const summary = run.summary({ enqueued: !options.wait });
  if (options.json) printJson({ event: "summary", ...summary });
  else printSummary(run, summary, { project, waited: options.wait });
  return summary.failed > 0 ? 1 : 0;
}

async function runToEnd(
  found: WalkResult,
  run: IngestRun,
  session: Session,
  request: ProduceRequest,
  wait: boolean,
  signal: AbortSignal,
): Promise<void> {
  // One that fails ends the other, which would otherwise wait for what never comes.
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const producing = async (): Promise<void> => {
    for (const file of found.failed) run.plan(await reject(file, session, request));
    for await (const batch of produce(found.files, session, request, either)) for (const document of batch) run.plan(document);
    run.endPlanning();
  };
  const following = async (): Promise<void> => {
    if (!wait) return;
    const onTick = watchForStandstill(run, session.producer);
    await follow(run, request.project, { events: session.events, ledger: session.ledger, onTick }, either);
  };
  await Promise.all(
    [producing(), following()].map((part) =>
      part.catch((error: unknown) => {
        failed.abort(error);
        throw error;
      }),
    ),
  );
}

function startRun(found: WalkResult, { json }: IngestOptions, progress: Progress): IngestRun {
  const files = [...found.files, ...found.failed];
  const facts = { filesTotal: files.length, bytesTotal: files.reduce((sum, file) => sum + file.bytes, 0), skipped: found.skipped };
  if (json) for (const { source, reason } of found.skipped) printJson({ event: "skipped", source, reason });
  return new IngestRun(randomUUID(), facts, {
    onFinished: ({ source, documentId, outcome, state, chunks, tokens, code, message }) => {
      if (json) {
        const failure = isFailure(state) ? { error: { code, message } } : {};
        printJson({ event: "document", source, document_id: documentId, outcome, state, chunks, tokens, ...failure });
      }
    },
    onWarning: (text) => progress.note(`warning: ${printable(text)}`),
  });
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
