/** The transformers.js pipeline at its best here: int8, sorted by length, small batches. */
import { basename, dirname } from "node:path";
import { env, pipeline } from "@huggingface/transformers";
import { paddedTokens, serveContestant, slices } from "../contestants/contestant.mjs";

serveContestant(async ({ modelPath, dtype, texts, lengths, batchSize }) => {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(modelPath);
  const extract = await pipeline("feature-extraction", basename(modelPath), { dtype });
  const options = { pooling: "mean", normalize: true };
  await extract(["ready"], options);
  const byLength = texts.map((_, index) => index).sort((a, b) => lengths[b] - lengths[a]);
  const batches = slices(byLength, batchSize);
  return async () => {
    for (const batch of batches)
      await extract(
        batch.map((index) => texts[index]),
        options,
      );
    return { paddedTokens: paddedTokens(batches.map((batch) => batch.map((index) => lengths[index]))) };
  };
});
