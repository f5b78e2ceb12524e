const plenty = 4;
const plentyMs = 1_000;
const fewMs = 250;

/**
 * How many milliseconds documents that are done wait for others to share a write, and what follows it, with: while the model has several more in hand that
 * delays nothing but their own end, with few it may be waiting for the next soon, and with none it is.
 * @param calls documents that wait for their vectors
 */
export function writeLingerMs(calls: number): number {
  if (calls >= plenty) return plentyMs;
  return calls > 0 ? fewMs : 0;
}
