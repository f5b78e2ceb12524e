/**
 * One side of the comparison, in a process of its own, so that its memory and processor time are its own. Loads what it needs, says that it is
 * ready, and runs once when told to.
 * @template O
 * @param {(options: O) => Promise<(note: { searchable: () => void }) => Promise<object>>} prepare loading, not measured; what it returns is measured.
 * `searchable` is called when the first document can be found, by those who store.
 */
export function serveContestant(prepare) {
  process.once("message", async (options) => {
    const run = await prepare(options);
    process.once("message", async () => {
      const startedAt = performance.now();
      let firstSearchableSeconds;
      const searchable = () => {
        firstSearchableSeconds ??= (performance.now() - startedAt) / 1_000;
      };
      const result = await run({ searchable });
      process.send({ seconds: (performance.now() - startedAt) / 1_000, firstSearchableSeconds, ...result });
    });
    process.send("ready");
  });
}

/** Cuts into lists of `size`. */
export function slices(items, size) {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));
}

/** Padded tokens of batches that are each as wide as their longest text. @param {readonly number[][]} batches token counts */
export function paddedTokens(batches) {
  return batches.reduce((sum, lengths) => sum + Math.max(...lengths) * lengths.length, 0);
}
