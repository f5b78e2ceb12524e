import { randomUUID } from "node:crypto";
import { fingerprintWith, type ProjectName, parseProjectName } from "@millrace/core";
import { embeddingSpaceOf } from "@millrace/embedding";
import { loadConfig, pipelineFingerprint } from "@millrace/runtime";
import type { Command } from "commander";
import { listDocuments } from "../document-lookup.ts";
import { follow } from "../follow.ts";
import { IngestRun, isFailure } from "../ingest-run.ts";
import { printSummary } from "../ingest-summary.ts";
import { Progress } from "../progress.ts";
import { openSession, type Session } from "../session.ts";
import { watchForStandstill } from "../standstill.ts";
import { note, printable, printJson } from "../terminal.ts";

interface ReembedOptions {
  readonly project: string;
  readonly wait: boolean;
  readonly json: boolean;
}

const documentsPerBatch = 100;

export function addReembedCommand(docs: Command): void {
  docs
    .command("reembed")
    .description("Embed a project's documents anew with the configured model, from the stored bytes; what is done is found again at once.")
    .option("-p, --project <slug>", "project", "default")
    .option("--no-wait", "end when everything is on the queue")
    .option("--json", "the summary as one JSON object", false)
    .action(async (options: ReembedOptions) => {
      process.exitCode = await reembed(options);
    });
}

/** Answers with the exit code. May be repeated: what is in the new space already is not embedded again. */
async function reembed(options: ReembedOptions): Promise<number> {
  const config = loadConfig();
  const project = parseProjectName(options.project);
  const space = embeddingSpaceOf(config);
  const session = await openSession(config, { start: true });
  const progress = new Progress(process.stderr);
  try {
    await session.spaces.move(project, space);
    const run = await planAll(project, pipelineFingerprint(config, space), session, progress);
    if (options.wait) {
      const standstill = watchForStandstill(run, session.producer);
      const onTick = (): void => {
        standstill();
        progress.show(run);
      };
      await follow(run, project, { events: session.events, ledger: session.ledger, onTick }, new AbortController().signal);
      progress.clear();
    }
    const summary = run.summary({ enqueued: !options.wait });
    if (options.json) printJson({ event: "summary", ...summary });
    else printSummary(run, summary, { project, waited: options.wait });
    return run.finished.some(({ state }) => isFailure(state)) ? 1 : 0;
  } finally {
    await session.close();
  }
}

/** Every document that has a version, or waits for its first, as a new version of the same bytes. */
async function planAll(project: ProjectName, fingerprint: string, session: Session, progress: Progress): Promise<IngestRun> {
  const { ledger, producer, blobs } = session;
  const entries = [];
  for await (const entry of listDocuments(ledger, project, {})) entries.push(entry);
  const facts = { filesTotal: entries.length, bytesTotal: entries.reduce((sum, { bytes }) => sum + bytes, 0), skipped: [] };
  const run = new IngestRun(randomUUID(), facts, {
    onFinished: () => undefined,
    onRemoved: () => undefined,
    onWarning: (text) => progress.note(`warning: ${printable(text)}`),
  });
  for (let from = 0; from < entries.length; from += documentsPerBatch) {
    const jobs: { version: 1; project: ProjectName; documentId: string; generation: string }[] = [];
    for (const entry of entries.slice(from, from + documentsPerBatch)) {
      const { documentId, source, mediaType, bytes, origin, givenMetadata: metadata } = entry;
      // Of a document whose newest bytes failed, the version that answers is what is to be kept.
      const contentHash = entry.pendingGeneration === undefined && entry.liveContentHash !== "" ? entry.liveContentHash : entry.contentHash;
      if (mediaType === undefined || contentHash === "" || !(await blobs.has(contentHash))) {
        note(`millrace: ${printable(source)}: its bytes are not stored, ingest it again`);
        const failure = { code: "blob.missing", message: "Its bytes are not stored: ingest it again" };
        run.plan({ source, documentId, bytes, outcome: "failed", contentHash: "", failure });
        continue;
      }
      const request = { project, source, contentHash, mediaType, bytes, origin, metadata, ingestId: run.ingestId };
      const plan = await ledger.plan({ ...request, fingerprint: fingerprintWith(fingerprint, metadata) });
      if (plan.outcome === "added" || plan.outcome === "updated") {
        jobs.push({ version: 1, project, documentId, generation: plan.generation });
      }
      const failure =
        plan.outcome === "failed" ? { failure: entry.failure ?? { code: "document.failed", message: "These bytes failed before" } } : {};
      run.plan({ source, documentId, bytes, contentHash, outcome: plan.outcome, ...failure, empty: entry.state === "empty" });
    }
    await producer.addDocuments(project, jobs, "bulk");
  }
  run.endPlanning();
  return run;
}
