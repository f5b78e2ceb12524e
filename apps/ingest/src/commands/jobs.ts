import { randomUUID } from "node:crypto";
import { fingerprintWith, InvalidInputError, type ProjectName, parseProjectName } from "@millrace/core";
import { embeddingSpaceOf } from "@millrace/embedding";
import { type DocumentEntry, type DocumentState, documentJson, openStates } from "@millrace/ledger";
import { queueNames } from "@millrace/queue";
import { loadConfig, pipelineFingerprint } from "@millrace/runtime";
import type { Command } from "commander";
import { findDocument, listDocuments } from "../document-lookup.ts";
import { type Session, withSession } from "../session.ts";
import { note, print, printable, printJson, table } from "../terminal.ts";

interface ListOptions {
  readonly project: string;
  readonly json: boolean;
}

interface RetryOptions {
  readonly project: string;
  readonly all: boolean;
  readonly class?: string;
}

const failedStates = ["failed", "quarantined"] as const;
const rowsPerStateMax = 100;

export function addJobsCommands(program: Command): void {
  const jobs = program.command("jobs").description("Work that is not done, or has failed.");
  jobs
    .command("list")
    .description("List documents that failed or are still to be processed, and count the queues.")
    .option("-p, --project <slug>", "project", "default")
    .option("--json", "one JSON object per line, the counts last", false)
    .action(list);
  jobs
    .command("retry")
    .description("Process failed documents again, from the bytes that are stored.")
    .argument("[documents...]", "names or ids")
    .option("-p, --project <slug>", "project", "default")
    .option("--all", "all failed and quarantined ones", false)
    .option("--class <prefix>", "all whose error code begins so, as in `parse.`")
    .action(async (names: string[], options: RetryOptions) => {
      process.exitCode = await retry(names, options);
    });
}

async function list({ project, json }: ListOptions): Promise<void> {
  await withSession(loadConfig(), async ({ ledger, producer }) => {
    const name = parseProjectName(project);
    const rows: (string | number)[][] = [];
    const shown = json ? Number.POSITIVE_INFINITY : rowsPerStateMax;
    const counts = await ledger.countByState(name);
    for (const state of [...failedStates, ...openStates]) {
      let count = 0;
      for await (const entry of listDocuments(ledger, name, { state })) {
        if (count++ >= shown) break;
        if (json) printJson(documentJson(entry, { withOrigin: true }));
        else
          rows.push([
            entry.source,
            entry.state,
            entry.attempts,
            entry.failure?.stage ?? "",
            entry.contentHash.slice(0, 12),
            reasonOf(entry),
          ]);
      }
      if (!json && counts[state] > shown) note(`Only the first ${shown} of ${counts[state]} ${state} documents are shown.`);
    }
    const queues = await Promise.all(queueNames.map(async (queue) => ({ queue, ...(await producer.counts(queue)) })));
    if (json) return printJson({ event: "queues", queues });
    print(
      rows.length === 0
        ? "No document has failed or is waiting."
        : table(["source", "state", "attempts", "stage", "sha256", "reason"], rows),
    );
    if ((counts.failed ?? 0) + (counts.quarantined ?? 0) > 0)
      print("`millrace jobs retry <source>`, `--class <code>` or `--all` processes failed ones again.");
    print(
      `\n${table(
        ["queue", "waiting", "active", "delayed", "failed"],
        queues.map((each) => [each.queue, each.waiting, each.active, each.delayed, each.failed]),
      )}`,
    );
  });
}

/** Answers with the exit code. */
async function retry(names: readonly string[], options: RetryOptions): Promise<number> {
  if (names.length === 0 && !options.all && options.class === undefined) {
    throw new InvalidInputError("usage", "Which documents? Name them, or give --all or --class");
  }
  const config = loadConfig();
  const project = parseProjectName(options.project);
  const fingerprint = pipelineFingerprint(config, embeddingSpaceOf(config));
  return withSession(config, async (session) => {
    const ingestId = randomUUID();
    let queued = 0;
    let refused = 0;
    const refuse = (name: string, why: string): void => {
      refused++;
      note(`millrace: ${printable(name)}: ${why}`);
    };
    for await (const [name, entry] of chosen(session, project, names, options)) {
      if (entry === undefined) refuse(name, "there is no such document");
      else if (entry.state === "live" || entry.state === "empty")
        refuse(name, `it is ${entry.state}; \`millrace ingest --force\` processes it again`);
      else if (entry.mediaType === undefined || entry.contentHash === "" || !(await session.blobs.has(entry.contentHash))) {
        refuse(name, "its bytes are not stored, ingest it again");
      } else {
        const { source, contentHash, mediaType, bytes, origin, givenMetadata: metadata } = entry;
        const plan = await session.ledger.plan({
          project,
          source,
          contentHash,
          fingerprint: fingerprintWith(fingerprint, metadata),
          metadata,
          mediaType,
          bytes,
          origin,
          ingestId,
          force: true,
        });
        const job = { version: 1 as const, project, documentId: plan.documentId, generation: plan.generation };
        await session.producer.addDocuments(project, [job], "interactive");
        queued++;
      }
    }
    print(`${queued} documents queued again.`);
    return refused === 0 ? 0 : 1;
  });
}

async function* chosen(
  { ledger }: Session,
  project: ProjectName,
  names: readonly string[],
  options: RetryOptions,
): AsyncGenerator<[string, DocumentEntry | undefined]> {
  for (const name of names) yield [name, await findDocument(ledger, project, name)];
  if (!options.all && options.class === undefined) return;
  for (const state of failedStates) {
    // Read to the end first: a document that is queued again leaves the list that is being read.
    const entries = await allIn(ledger, project, state);
    for (const entry of entries) if (entry.failure?.code.startsWith(options.class ?? "") !== false) yield [entry.source, entry];
  }
}

async function allIn(ledger: Session["ledger"], project: ProjectName, state: DocumentState): Promise<DocumentEntry[]> {
  const entries: DocumentEntry[] = [];
  for await (const entry of listDocuments(ledger, project, { state })) entries.push(entry);
  return entries;
}

function reasonOf({ failure }: DocumentEntry): string {
  return failure === undefined ? "" : `${failure.message.slice(0, 160)} [${failure.code}]`;
}
