import { randomUUID } from "node:crypto";
import { type Metadata, type ProjectName, parseProjectName } from "@millrace/core";
import type { Config } from "@millrace/runtime";
import { follow } from "./follow.ts";
import { IngestRun, isFailure, type RunSummary } from "./ingest-run.ts";
import { type ProduceRequest, produce, reject } from "./produce.ts";
import type { Progress } from "./progress.ts";
import { confirmRemoval, findRemoved, remove } from "./prune.ts";
import type { Session } from "./session.ts";
import { watchForStandstill } from "./standstill.ts";
import { bytesText, printable, printJson } from "./terminal.ts";
import { type FoundFile, type WalkResult, walk } from "./walk.ts";

export interface IngestOptions {
  readonly project: string;
  readonly root?: string;
  readonly ignore: readonly string[];
  readonly hidden: boolean;
  readonly wait: boolean;
  readonly json: boolean;
  readonly force: boolean;
  readonly takeOver: boolean;
  readonly prune: boolean;
  readonly plan: boolean;
  readonly watch: boolean;
  readonly yes: boolean;
  readonly metadata: Metadata;
}

export interface PassDeps {
  readonly config: Config;
  readonly session: Session;
  readonly fingerprint: string;
  readonly progress: Progress;
  /** Undefined where there is nobody to ask. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
}

/** So few documents are somebody waiting for them rather than a collection. */
const interactiveDocumentsMax = 20;
const progressMs = 250;
/** Runs of fewer chunks say little about the rate. */
const chunksForRate = 50;

/** The paths as they are now. */
export function findFiles(paths: readonly string[], options: IngestOptions, config: Config): Promise<WalkResult> {
  const { hidden, ignore, root } = options;
  return walk(paths, { hidden, ignore, documentBytesMax: config.documentBytesMax, ...(root === undefined ? {} : { root }) });
}

/**
 * One pass over the paths: enqueue what is new or changed, follow it to its end, and then remove what is gone; in this order, so that the content of a
 * renamed file is never missing.
 * @param isWanted files to be looked at; others are taken as unchanged without a hash
 */
export async function ingestPass(
  found: WalkResult,
  options: IngestOptions,
  deps: PassDeps,
  signal: AbortSignal,
  isWanted: (file: FoundFile) => boolean = () => true,
): Promise<{ run: IngestRun; summary: RunSummary }> {
  const { config, session, fingerprint, progress } = deps;
  const project = parseProjectName(options.project);
  const removed = options.prune ? await findRemoved(session.ledger, project, found) : [];
  if (!options.yes) await confirmRemoval(session.ledger, project, removed, deps.confirm);

  const wanted = { ...found, files: found.files.filter(isWanted) };
  const run = startRun(wanted, options, progress);
  const request: ProduceRequest = {
    project,
    ingestId: run.ingestId,
    fingerprint,
    documentBytesMax: config.documentBytesMax,
    queueBytesMax: config.queueBytesMax,
    urgency: wanted.files.length <= interactiveDocumentsMax ? "interactive" : "bulk",
    metadata: options.metadata,
    force: options.force,
    takeOver: options.takeOver,
    onWaiting: (queued) => {
      const text = `the queue holds ${bytesText(queued)}, ${bytesText(config.queueBytesMax)} are the most (MILLRACE_QUEUE_BYTES_MAX)`;
      if (queued > 0 && run.waitingFor === "") run.warn(`Waiting for room: ${text}`);
      run.waitingFor = queued > 0 ? text : "";
    },
  };
  const timer = setInterval(() => progress.show(run), progressMs);
  try {
    await runToEnd(wanted, run, session, request, options.wait, signal);
    await remove(removed, run, project, session);
  } catch (error) {
    if (signal.aborted) throw new Interrupted(run);
    throw error;
  } finally {
    clearInterval(timer);
    progress.clear();
  }
  const summary = run.summary({ enqueued: !options.wait });
  if (options.wait && summary.chunks >= chunksForRate) await session.ledger.recordRate(summary.chunks / summary.seconds);
  return { run, summary };
}

/** Thrown when the signal ended a pass: what is on the queue is processed all the same. */
export class Interrupted extends Error {
  readonly run: IngestRun;

  constructor(run: IngestRun) {
    super("interrupted");
    this.run = run;
  }
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
  const following = async (project: ProjectName): Promise<void> => {
    if (!wait) return;
    const onTick = watchForStandstill(run, session.producer);
    await follow(run, project, { events: session.events, ledger: session.ledger, onTick }, either);
  };
  await Promise.all(
    [producing(), following(request.project)].map((part) =>
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
      if (!json) return;
      const failure = isFailure(state) ? { error: { code, message } } : {};
      printJson({ event: "document", source, document_id: documentId, outcome, state, chunks, tokens, ...failure });
    },
    onRemoved: ({ source, documentId, renamedTo }) => {
      if (json) printJson({ event: "deleted", source, document_id: documentId, renamed_to: renamedTo ?? null });
    },
    onWarning: (text) => progress.note(`warning: ${printable(text)}`),
  });
}
