import { setTimeout as delay } from "node:timers/promises";
import { DependencyError, isMillraceError } from "@millrace/core";

const waitMsMin = 100;
const waitMsMax = 2_000;
/** Shorter than the lease of a job, so that a document is not worked on twice because of an outage. */
const outageMsMax = 45_000;

/**
 * Repeats an idempotent call while what it needs is away, up to 45 s: an outage then costs its own length, not the parsing and embedding done before
 * it. A longer one fails the call, and the job is tried again later.
 */
export async function persist<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const giveUpAt = performance.now() + outageMsMax;
  for (let waitMs = waitMsMin; ; waitMs = Math.min(waitMs * 2, waitMsMax)) {
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DependencyError || (isMillraceError(error) && error.retryable)) || performance.now() + waitMs > giveUpAt)
        throw error;
    }
    // A little at random, so that the waiting do not all come at once.
    await delay(waitMs * (0.5 + Math.random() / 2), undefined, { signal });
  }
}
