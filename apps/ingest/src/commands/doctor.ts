import { type ProjectName, parseProjectName, spaceMismatch } from "@millrace/core";
import { embeddingSpaceOf } from "@millrace/embedding";
import { type Finding, openStates, Reconciler } from "@millrace/ledger";
import { loadConfig, readRedisSafety } from "@millrace/runtime";
import type { Command } from "commander";
import { listDocuments } from "../document-lookup.ts";
import { openSession, type Session } from "../session.ts";
import { openStore } from "../store.ts";
import { durationText, print, printable, printJson, table } from "../terminal.ts";

interface DoctorOptions {
  readonly project?: string;
  readonly fix: boolean;
  readonly all: boolean;
  readonly json: boolean;
}

interface Warning {
  readonly code: string;
  readonly message: string;
}

/** Chunks per project whose findability is tried unless all are asked for. */
const samplesPerProject = 200;
/** Pending documents, live workers, and not one step for so long. */
const standstillMs = 60_000;
const namesMax = 20;

const meanings: Readonly<Record<Finding["kind"], string>> = {
  job_missing: "waits, but no job will process it",
  job_stale: "has a job that nothing waits for",
  rows_missing: "lacks rows in the vector store",
  rows_stale: "has rows of a version that is not in use",
  rows_doubled: "has rows that are there twice",
  rows_unknown: "is unknown, but has rows in the vector store",
  row_unfindable: "has chunks that a search for themselves does not find",
  blob_missing: "has lost its source bytes: ingest it again",
  blob_orphaned: "source files of no document",
};

export function addDoctorCommand(program: Command): void {
  program
    .command("doctor")
    .description("Compare ledger, queue, vector store and stored files. Ends with 1 when something is wrong and was not repaired.")
    .option("-p, --project <slug>", "only this project")
    .option("--fix", "repair what can be repaired", false)
    .option("--all", `try every chunk whether search finds it, not ${samplesPerProject} per project`, false)
    .option("--json", "one JSON object per line, the summary last", false)
    .action(async (options: DoctorOptions) => {
      process.exitCode = await doctor(options);
    });
}

/** Answers with the exit code. */
async function doctor(options: DoctorOptions): Promise<number> {
  const config = loadConfig();
  const session = await openSession(config);
  const store = await openStore(config, session);
  const signal = new AbortController().signal;
  try {
    const reconciler = new Reconciler({ ...session, store, queue: session.producer });
    const named = options.project === undefined ? await session.ledger.projects() : [parseProjectName(options.project)];
    const warnings = await findWarnings(session, named);
    // The store that this configuration looks into holds nothing of a project in another space: all of its rows would seem missing.
    const projects: ProjectName[] = [];
    for (const project of named) {
      const mismatch = spaceMismatch(project, await session.spaces.of(project), embeddingSpaceOf(config));
      if (mismatch === undefined) projects.push(project);
      else warnings.push({ code: mismatch.code, message: `${mismatch.message}. ${mismatch.hint}` });
    }
    const findings: Finding[] = [];
    let checked = 0;
    for (const project of projects) {
      findings.push(...(await reconciler.audit(project, signal)));
      const search = await reconciler.auditSearch(project, options.all ? Number.POSITIVE_INFINITY : samplesPerProject, signal);
      checked += search.checked;
      findings.push(...search.findings);
    }
    findings.push(...(await reconciler.auditQueue()), ...(await reconciler.auditBlobs()));
    for (const warning of warnings) report(options, { event: "warning", ...warning }, `warning: ${warning.message} [${warning.code}]`);
    printFindings(findings, options);
    const repaired = options.fix ? await reconciler.repair(findings, signal) : 0;
    const summary = { projects: named.length, findings: findings.length, repaired, warnings: warnings.length, chunks_searched: checked };
    report(options, { event: "summary", ...summary }, summaryText(findings.length, repaired, warnings.length, checked, options.fix));
    return findings.length > repaired || warnings.length > 0 ? 1 : 0;
  } finally {
    await store.close();
    await session.close();
  }
}

async function findWarnings({ redis, producer, ledger }: Session, projects: readonly ProjectName[]): Promise<Warning[]> {
  const warnings: Warning[] = [];
  const warn = (code: string, message: string): void => void warnings.push({ code, message });
  const safety = await readRedisSafety(redis);
  if (safety.policy !== "noeviction") warn("redis.evicts", `The queue Redis may evict documents: maxmemory-policy is ${safety.policy}`);
  if (!safety.appendOnly) warn("redis.not_durable", "The queue Redis writes no append-only file: accepted work is lost when it stops");
  if (!safety.writable) warn("redis.cannot_write", "The queue Redis could not write its files lately; is its disk full?");
  if (safety.memoryShare > 0.8) warn("redis.nearly_full", `The queue Redis uses ${Math.round(safety.memoryShare * 100)} % of its memory`);
  const [counts, workers] = await Promise.all([producer.counts("documents"), producer.workerCount("documents")]);
  if (counts.waiting + counts.active > 0 && workers === 0) {
    warn("queue.no_worker", `${counts.waiting + counts.active} documents wait and no worker is connected: start one with \`millrace up\``);
  }
  if (counts.waiting > 0 && (await producer.isPaused("documents"))) warn("queue.paused", "The queue is paused: resume it in the dashboard");
  let movedAt = 0;
  for (const project of projects) {
    for (const state of openStates) {
      for await (const entry of listDocuments(ledger, project, { state })) movedAt = Math.max(movedAt, entry.updatedAt);
    }
  }
  const stillMs = Date.now() - movedAt;
  if (movedAt > 0 && workers > 0 && stillMs > standstillMs) {
    warn("queue.standstill", `No pending document has moved for ${durationText(stillMs / 1_000)}; the workers' logs may say why`);
  }
  return warnings;
}

function printFindings(findings: readonly Finding[], options: DoctorOptions): void {
  if (options.json) {
    for (const { kind, project, documentId, source, count } of findings) {
      printJson({ event: "finding", kind, project: project ?? null, document_id: documentId, source, count });
    }
    return;
  }
  if (findings.length === 0) return;
  const rows = findings
    .slice(0, namesMax)
    .map(({ kind, project, source, documentId, count }) => [project ?? "", printable(source || documentId), kind, count, meanings[kind]]);
  print(table(["project", "document", "finding", "count", "meaning"], rows));
  if (findings.length > namesMax) print(`… and ${findings.length - namesMax} more (--json tells all)`);
}

function summaryText(findings: number, repaired: number, warnings: number, checked: number, fix: boolean): string {
  const searched = `${checked} chunks were searched for.`;
  if (findings === 0) return `${warnings === 0 ? "All is well" : "Ledger, queue and store agree"}. ${searched}`;
  if (!fix) return `${findings} findings. \`millrace doctor --fix\` repairs them. ${searched}`;
  return `${findings} findings, ${repaired} repaired (what is processed again takes a moment). ${searched}`;
}

function report({ json }: DoctorOptions, event: Readonly<Record<string, unknown>>, text: string): void {
  if (json) printJson(event);
  else print(text);
}
