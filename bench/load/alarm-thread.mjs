// Wakes the thread that started it at given times, to some hundredth of a millisecond: Node's own timers have whole milliseconds, and an event loop that
// turns without a pause takes a core away from what is measured.
import { parentPort, workerData } from "node:worker_threads";

/** Milliseconds since 1970, ascending. */
const times = workerData;
const never = new Int32Array(new SharedArrayBuffer(4));
const now = () => performance.timeOrigin + performance.now();

for (let next = 0; next < times.length; ) {
  const wait = times[next] - now();
  if (wait > 0) Atomics.wait(never, 0, 0, wait);
  const at = now();
  while (next < times.length && times[next] <= at) next++;
  parentPort.postMessage(next);
}
