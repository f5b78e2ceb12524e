import { DependencyError, errorMessage, isMillraceError, type MillraceError, type ProjectName } from "@millrace/core";
import type { EmbeddingSpaces } from "@millrace/ledger";
import { type JobData, type Producer, RetryLater } from "@millrace/queue";
import type { Logger } from "@millrace/runtime";
import { collectGarbage } from "./collect-garbage.ts";
import { type ProcessDeps, processDocument, type Stage } from "./process-document.ts";
import type { Turns } from "./turns.ts";

export interface HandlerDeps extends Omit<ProcessDeps, "alone" | "claimSpace" | "onFailedStage"> {
  readonly producer: Producer;
  readonly logger: Logger;
  readonly spaces: EmbeddingSpaces;
  readonly turns: Turns;
}

/** A child process that died of this very document: it has no other at the time. */
const crashCodes: ReadonlySet<string> = new Set(["parse.crashed", "embed.crashed"]);

/**
 * Runs a document's job and writes a failure into the ledger before BullMQ hears of it, so that what a user sees, and whether there will be another
 * try, never depends on BullMQ's own bookkeeping.
 */
export async function handleDocumentJob(ref: JobData<"documents">, signal: AbortSignal, deps: HandlerDeps): Promise<void> {
  let entered: Stage = "parse";
  let failed: Stage | undefined;
  let mayHaveLeftRows = true;
  const startedAt = performance.now();
  const log = deps.logger.child({ project: ref.project, documentId: ref.documentId, generation: ref.generation });
  const onStage = (stage: Stage): void => {
    entered = stage;
    deps.onStage(stage);
  };
  const onFailedStage = (stage: Stage): void => {
    failed ??= stage;
  };
  try {
    const claim = (project: ProjectName): Promise<void> => claimSpace(project, deps);
    const process = (alone: boolean) => processDocument(ref, { ...deps, alone, claimSpace: claim, onStage, onFailedStage }, signal);
    let processed = await deps.turns.together(() => process(false), signal);
    // What has died with its worker more than once would take those with it that are innocent, or has been innocent of it all along.
    if (processed.outcome === "suspected") processed = await deps.turns.alone(processed.deaths, () => process(true), signal);
    const { leftRows, ...outcome } = processed;
    mayHaveLeftRows = leftRows;
    log.info({ ...outcome, ms: Math.round(performance.now() - startedAt) }, "document.processed");
  } catch (cause) {
    if (signal.aborted) {
      // A stop of the worker is no failure of the document: the job goes back and another worker takes it.
      await deps.ledger.release(ref).catch((error: unknown) => log.warn({ reason: errorMessage(error) }, "document.not_released"));
      throw new RetryLater(0, "handed back by a worker that stops");
    }
    const error = isMillraceError(cause) ? cause : new DependencyError("worker.failed", errorMessage(cause), { cause });
    const stage = failed ?? entered;
    log.warn({ stage, code: error.code, reason: error.message }, "document.failed");
    const retryInMs = await recordFailure(ref, error, stage, deps);
    if (retryInMs !== undefined) throw new RetryLater(retryInMs, `${error.code}: ${error.message}`);
    throw error;
  } finally {
    if (mayHaveLeftRows && (await deps.ledger.garbage(ref.project, 1).catch(() => [])).length > 0)
      await deps.producer.addCollection(ref.project).catch(() => undefined);
  }
}

/** A worker with another model than the project's must not touch it; one with the right model may come, so it is tried again. */
async function claimSpace(project: ProjectName, { spaces, embedder }: HandlerDeps): Promise<void> {
  try {
    await spaces.claim(project, embedder.space);
  } catch (error) {
    if (!isMillraceError(error) || error.code !== "embed.space_mismatch") throw error;
    throw new DependencyError(error.code, error.message, { cause: error, ...(error.hint === undefined ? {} : { hint: error.hint }) });
  }
}

/** Answers with the delay until the next try; undefined when there is none. */
async function recordFailure(
  ref: JobData<"documents">,
  error: MillraceError,
  stage: Stage,
  deps: HandlerDeps,
): Promise<number | undefined> {
  const { code, retryable, hint } = error;
  const message = hint === undefined ? error.message : `${error.message}. ${hint}`;
  const failure = { code, message, stage, retryable };
  const crashed = crashCodes.has(code);
  const temporary = retryable || crashed;
  return (await deps.ledger.fail(ref, failure, { crashed, ...(temporary ? {} : { finalState: "failed" }) })).retryInMs;
}

export async function handleMaintenanceJob({ project }: JobData<"maintenance">, signal: AbortSignal, deps: HandlerDeps): Promise<void> {
  await claimSpace(project, deps);
  const collected = await collectGarbage(project, deps, signal);
  if (collected > 0) deps.logger.info({ project, collected }, "garbage.collected");
}
