import { setMaxListeners } from "node:events";

/**
 * Settles with the promise, or rejects with the signal's reason as soon as it is aborted. The SDK cannot cancel a call, so
 * the work behind an abandoned promise goes on until its deadline; its outcome is then nobody's business.
 */
export function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    if (signal.aborted) return onAbort();
    // Any number of calls may share one signal; each removes its listener, so that a count above ten is no leak.
    setMaxListeners(0, signal);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
