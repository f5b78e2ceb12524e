import { setTimeout as delay } from "node:timers/promises";
import { isMillraceError, type ProjectName } from "@millrace/core";
import { type DocumentEntry, type Ledger, type LedgerEvent, settledStates } from "@millrace/ledger";
import type { IngestRun, SettledState } from "./ingest-run.ts";

/**
 * Follows what the workers do with the documents of a run. Events tell it at once; as one may be missed (the stream is bounded, Redis may
 * fail over), the ledger is asked every few seconds how many are still open, and about each of them where it counts fewer, or none has moved. So a lost
 * event costs seconds, never the end, and a run of many documents does not read all of them again and again.
 */
export interface FollowDeps {
  /** On a connection of its own: reading events blocks it. */
  readonly events: Ledger;
  readonly ledger: Ledger;
  /** Called at least about once a second. */
  readonly onTick: () => void;
}

const blockMs = 1_000;
/** With more than so many open documents their events are read together: one by one, each would cost Redis and this process a turn. */
const fewDocuments = 20;
const gatherMs = 250;
const reconcileMs = 5_000;
const outageMsMax = 60_000;
const reconcileBatch = 500;

/**
 * Resolves when `run` is complete: everything was planned, and everything enqueued has settled.
 * @throws DependencyError `ledger.unavailable` when Redis has been away for a minute; the signal's reason when aborted
 */
export async function follow(run: IngestRun, project: ProjectName, deps: FollowDeps, signal: AbortSignal): Promise<void> {
  let lastEventId = "0";
  let reconciledAt = performance.now();
  let answeredAt = performance.now();
  while (!run.complete) {
    signal.throwIfAborted();
    try {
      // While only the producer is busy, events may already come: a worker is often faster than the next batch of hashes.
      const events = await deps.events.readEvents(project, run.ingestId, lastEventId, blockMs);
      for (const event of events) apply(run, event);
      lastEventId = events.at(-1)?.eventId ?? lastEventId;
      if (performance.now() - reconciledAt >= reconcileMs) {
        const isStill = performance.now() - run.movedAt >= reconcileMs;
        if (isStill || (await deps.ledger.openCount(project, run.ingestId)) < run.openCount) await reconcile(run, project, deps.ledger);
        reconciledAt = performance.now();
      }
      answeredAt = performance.now();
    } catch (error) {
      if (!isMillraceError(error) || !error.retryable || performance.now() - answeredAt > outageMsMax) throw error;
      run.warn(`The queue Redis does not answer, trying again: ${error.message}`);
      await delay(blockMs);
    }
    deps.onTick();
    if (run.openCount > fewDocuments) await delay(gatherMs);
  }
}

function apply(run: IngestRun, event: LedgerEvent): void {
  const { documentId, state, chunks, tokens, code, message } = event;
  if (isSettled(state)) run.settle(documentId, { state, chunks, tokens, code, message });
  else run.move(documentId, state, message);
}

async function reconcile(run: IngestRun, project: ProjectName, ledger: Ledger): Promise<void> {
  const open = run.openDocumentIds();
  for (let from = 0; from < open.length; from += reconcileBatch) {
    const documentIds = open.slice(from, from + reconcileBatch);
    const entries = await ledger.getMany(project, documentIds);
    for (const [index, documentId] of documentIds.entries()) {
      const state = stateFor(run, entries[index]);
      if (state === undefined) continue;
      const entry = entries[index];
      const { code = "", message = "" } = entry?.failure ?? {};
      run.settle(documentId, { state, chunks: entry?.liveChunks ?? 0, tokens: entry?.liveTokens ?? 0, code, message });
    }
  }
}

/** Where the ledger says that nothing more will happen for this run. */
function stateFor(run: IngestRun, entry: DocumentEntry | undefined): SettledState | undefined {
  if (entry === undefined || entry.state === "deleted") return "deleted";
  if (entry.ingestId !== run.ingestId) return "superseded";
  return isSettled(entry.state) ? entry.state : undefined;
}

function isSettled(state: LedgerEvent["state"]): state is SettledState {
  return state === "superseded" || (state !== "retrying" && settledStates.has(state));
}
