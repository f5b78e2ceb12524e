import type { Producer } from "@millrace/queue";
import type { IngestRun } from "./ingest-run.ts";

const noWorkerMs = 5_000;
const standstillMs = 30_000;
/** Redis lists all its clients for the answer. */
const askMs = 1_000;

/**
 * Warns when nobody works on the queue, or nothing has moved for long: somebody who waits should know what for. The function returned is
 * to be called at least about once a second.
 */
export function watchForStandstill(run: IngestRun, producer: Producer): () => void {
  let workerSeenAt = performance.now();
  let warnedAt = 0;
  let asking = false;
  let askedAt = workerSeenAt;
  const warnOnceInAWhile = (text: string): void => {
    if (warnedAt !== 0 && performance.now() - warnedAt < standstillMs) return;
    warnedAt = performance.now();
    run.warn(text);
  };
  return () => {
    if (run.openCount === 0) workerSeenAt = performance.now();
    else if (!asking && performance.now() - askedAt >= askMs) {
      asking = true;
      askedAt = performance.now();
      producer
        .workerCount("documents")
        .then((workers) => {
          if (workers > 0) workerSeenAt = performance.now();
        })
        .catch(() => undefined) // the follower reports a Redis that is away
        .finally(() => {
          asking = false;
        });
    }
    if (performance.now() - workerSeenAt > noWorkerMs) {
      warnOnceInAWhile(
        "No worker is connected to the queue, so nothing is processed. `millrace status` shows what runs, `millrace up` starts workers.",
      );
    } else if (performance.now() - run.movedAt > standstillMs) {
      const states = [...run.openStates()].map(([state, count]) => `${count} ${state}`).join(", ");
      warnOnceInAWhile(
        `No document has moved for ${standstillMs / 1_000} s (${states}). Long documents take a while; if it goes on, see the logs and \`millrace status\`.`,
      );
    }
  };
}
