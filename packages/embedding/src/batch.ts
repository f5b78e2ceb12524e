/**
 * Small batches of texts of similar length: a batch costs as many tokens as its longest text times its size, so mixing lengths pays for padding. About a
 * thousand padded tokens keep the arithmetic units busy, more only costs memory.
 */
const batchTokensMax = 1_024;

/** Groups the indices of `lengths` (tokens per text): longest first, each group within `tokensMax` padded tokens, or a single text. */
export function batchesByLength(lengths: readonly number[], tokensMax: number = batchTokensMax): number[][] {
  const longestFirst = lengths.map((_, index) => index).sort((a, b) => (lengths[b] ?? 0) - (lengths[a] ?? 0) || a - b);
  const batches: number[][] = [];
  let batch: number[] = [];
  let longest = 0;
  for (const index of longestFirst) {
    if (batch.length === 0) longest = lengths[index] ?? 0;
    else if ((batch.length + 1) * longest > tokensMax) {
      batches.push(batch);
      batch = [];
      longest = lengths[index] ?? 0;
    }
    batch.push(index);
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
