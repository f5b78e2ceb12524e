/** The arithmetic of the benchmarks, pure. */

/**
 * @param {readonly number[]} values
 * @param {number} share 0 to 1
 * @returns {number} with linear interpolation between the two nearest ranks; NaN of nothing
 */
export function percentile(values, share) {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const rank = share * (sorted.length - 1);
  const below = sorted[Math.floor(rank)];
  return below + (sorted[Math.ceil(rank)] - below) * (rank - Math.floor(rank));
}

export const percentiles = (values = []) => ({
  p50: percentile(values, 0.5),
  p95: percentile(values, 0.95),
  p99: percentile(values, 0.99),
});

export const median = (values) => percentile(values, 0.5);

/** @returns {{ median: number, min: number, max: number, repetitions: number }} */
export function summarise(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), repetitions: values.length };
}

/**
 * Least squares of log y on log x: y = factor · x^exponent. Exponent 1 grows in proportion, 0 not at all.
 * @param {readonly number[]} xs positive @param {readonly number[]} ys positive
 */
export function fitPower(xs, ys) {
  const lx = xs.map(Math.log);
  const ly = ys.map(Math.log);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [mx, my] = [mean(lx), mean(ly)];
  const covariance = lx.reduce((sum, x, i) => sum + (x - mx) * (ly[i] - my), 0);
  const variance = lx.reduce((sum, x) => sum + (x - mx) ** 2, 0);
  const exponent = covariance / variance;
  return { exponent, factor: Math.exp(my - exponent * mx) };
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A copy in an order that the seed decides (Fisher–Yates). */
export function shuffled(items, seed) {
  const random = randomOf(seed);
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}
