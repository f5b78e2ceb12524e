import { randomUUID } from "node:crypto";
import { type ProjectName, parseProjectName } from "@millrace/core";
import { type DocumentEntry, Reconciler } from "@millrace/ledger";
import { loadConfig } from "@millrace/runtime";
import type { Command } from "commander";
import { listDocuments } from "../document-lookup.ts";
import { openSession, type Session } from "../session.ts";
import { openStore } from "../store.ts";
import { print } from "../terminal.ts";

export function addResumeCommand(program: Command): void {
  program
    .command("resume")
    .description("Take up again what a crash or an outage left: documents without a job, and those that failed for a passing reason.")
    .option("-p, --project <slug>", "only this project")
    .action(async ({ project }: { project?: string }) => {
      await resume(project === undefined ? undefined : parseProjectName(project));
    });
}

async function resume(only: ProjectName | undefined): Promise<void> {
  const config = loadConfig();
  const session = await openSession(config, { start: true });
  const store = await openStore(config, session);
  try {
    const reconciler = new Reconciler({ ...session, store, queue: session.producer });
    const waiting = await session.ledger.load(only);
    let redriven = 0;
    let again = 0;
    for (const project of only === undefined ? await session.ledger.projects() : [only]) {
      redriven += (await reconciler.redrive(project)).redriven;
      again += await queueFailed(project, session);
    }
    print(
      `${waiting.documents} documents were pending; ${redriven} of them had no job and got one, ${again} that failed for a passing reason are queued again.`,
    );
  } finally {
    await store.close();
    await session.close();
  }
}

async function queueFailed(project: ProjectName, { ledger, producer, blobs }: Session): Promise<number> {
  const ingestId = randomUUID();
  const failed: DocumentEntry[] = [];
  for await (const entry of listDocuments(ledger, project, { state: "failed" })) if (entry.failure?.retryable === true) failed.push(entry);
  let queued = 0;
  for (const { source, contentHash, fingerprint, mediaType, bytes, origin, givenMetadata: metadata } of failed) {
    if (mediaType === undefined || contentHash === "" || !(await blobs.has(contentHash))) continue;
    const { documentId, generation } = await ledger.plan({
      project,
      source,
      contentHash,
      fingerprint,
      mediaType,
      bytes,
      origin,
      metadata,
      ingestId,
    });
    await producer.addDocuments(project, [{ version: 1, project, documentId, generation }], "bulk");
    queued++;
  }
  return queued;
}
