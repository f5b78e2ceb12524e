const plenty = 4;
const plentyMs = 1_000;
const fewMs = 250;
/** Of the documents under way. The rest keeps the model busy until the next have been fetched, parsed and cut. */
const shareMax = 2 / 3;
/** Of the time that the worker has lived. What waits in memory is embedded again if it dies, so one that has just begun, maybe after a death, waits for nobody. */
const lifeShareMax = 1 / 50;

/**
 * How many milliseconds documents that are done wait for others to share a write, and what follows it, with: while the model has several more in hand that
 * delays nothing but their own end, with few it may be waiting for the next soon, and with none it is. When most of the documents under way only wait to be
 * written, none of them waits any longer: they hold the places of those that the model needs next.
 * @param calls documents that wait for their vectors
 * @param waiting documents that wait to be written
 * @param concurrency documents under way at most
 * @param livedMs since the worker was started
 */
export function writeLingerMs(calls: number, waiting: number, concurrency: number, livedMs: number): number {
  if (calls === 0 || waiting >= concurrency * shareMax) return 0;
  return Math.min(calls >= plenty ? plentyMs : fewMs, livedMs * lifeShareMax);
}
