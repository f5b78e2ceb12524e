import fc from "fast-check";
import { expect, it } from "vitest";
import { batchesByLength } from "./batch.ts";

it("puts every text in exactly one batch, within the budget, longest first", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 300 })), fc.integer({ min: 1, max: 2_000 }), (lengths, tokensMax) => {
      const batches = batchesByLength(lengths, tokensMax);
      expect(batches.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, index) => index));
      for (const batch of batches) {
        const longest = Math.max(...batch.map((index) => lengths[index] ?? 0));
        expect(lengths[batch[0] ?? -1]).toBe(longest);
        expect(batch.length === 1 || batch.length * longest <= tokensMax).toBe(true);
      }
    }),
    { seed: 11 },
  );
});
