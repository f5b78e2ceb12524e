import { type BlobStore, DependencyError, errorMessage, isMillraceError, type ProjectName } from "@millrace/core";
import type { Ledger } from "@millrace/ledger";
import type { JobContext, JobData, Producer } from "@millrace/queue";
import type { Logger } from "@millrace/runtime";
import { collectGarbage } from "./collect-garbage.ts";
import { type ProcessDeps, processDocument, type Stage } from "./process-document.ts";

export interface HandlerDeps extends Omit<ProcessDeps, "onStage"> {
  readonly ledger: Ledger;
  readonly blobs: BlobStore & ProcessDeps["blobs"];
  readonly producer: Producer;
  readonly logger: Logger;
}

/**
 * Runs a document's job and writes a failure into the ledger before BullMQ hears of it, so that what a user sees never depends on
 * BullMQ's own bookkeeping.
 */
export async function handleDocumentJob(ref: JobData<"documents">, context: JobContext, deps: HandlerDeps): Promise<void> {
  let stage: Stage = "parse";
  const startedAt = performance.now();
  const log = deps.logger.child({ project: ref.project, documentId: ref.documentId, generation: ref.generation, attempt: context.attempt });
  try {
    const outcome = await processDocument(
      ref,
      {
        ...deps,
        onStage: (entered) => {
          stage = entered;
        },
      },
      context.signal,
    );
    log.info({ outcome, ms: Math.round(performance.now() - startedAt) }, "document.processed");
  } catch (cause) {
    // A stop of the worker is no failure of the document: the job goes back and another worker takes it.
    if (context.signal.aborted) throw cause;
    const error = isMillraceError(cause) ? cause : new DependencyError("worker.failed", errorMessage(cause), { cause });
    log.warn({ stage, code: error.code, reason: error.message }, "document.failed");
    const final = error.retryable && !context.lastAttempt ? undefined : "failed";
    const message = error.hint === undefined ? error.message : `${error.message}. ${error.hint}`;
    await deps.ledger.fail(ref, { code: error.code, message, stage, retryable: error.retryable }, final);
    throw error;
  }
  await deps.producer.add(
    "maintenance",
    (await deps.ledger.garbage(ref.project, 1)).length === 0 ? [] : [{ version: 1, project: ref.project }],
  );
}

export async function handleMaintenanceJob(data: { project: ProjectName }, context: JobContext, deps: HandlerDeps): Promise<void> {
  const collected = await collectGarbage(data.project, deps, context.signal);
  if (collected > 0) deps.logger.info({ project: data.project, collected }, "garbage.collected");
}
