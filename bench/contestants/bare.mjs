/** The bound: onnxruntime-node on ready tensors, batches of like length. No tokenizer, no files, no store. */
import { availableParallelism } from "node:os";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { paddedTokens, serveContestant } from "./contestant.mjs";

/** Padded tokens of one batch: the best of 256 to 4,096 on the machines tried. */
const batchTokensMax = 1_024;

serveContestant(async ({ onnxPath, ids }) => {
  const session = await InferenceSession.create(onnxPath, {
    graphOptimizationLevel: "all",
    intraOpNumThreads: availableParallelism(),
    interOpNumThreads: 1,
    enableMemPattern: false,
  });
  const batches = batchesOf(ids);
  const feeds = batches.map(feedOf);
  await session.run(feedOf([[101, 2_204, 102]]), ["sentence_embedding"]);
  return async () => {
    for (const feed of feeds) await session.run(feed, ["sentence_embedding"]);
    return { paddedTokens: paddedTokens(batches.map((batch) => batch.map((each) => each.length))) };
  };
});

function batchesOf(ids) {
  const batches = [];
  for (const each of [...ids].sort((a, b) => b.length - a.length)) {
    const batch = batches.at(-1);
    if (batch !== undefined && (batch.length + 1) * batch[0].length <= batchTokensMax) batch.push(each);
    else batches.push([each]);
  }
  return batches;
}

function feedOf(batch) {
  const width = Math.max(...batch.map((each) => each.length));
  const ids = new BigInt64Array(batch.length * width);
  const mask = new BigInt64Array(ids.length);
  for (const [row, tokens] of batch.entries()) {
    ids.set(tokens.map(BigInt), row * width);
    mask.fill(1n, row * width, row * width + tokens.length);
  }
  const tensor = (data) => new Tensor("int64", data, [batch.length, width]);
  return { input_ids: tensor(ids), attention_mask: tensor(mask), token_type_ids: tensor(new BigInt64Array(ids.length)) };
}
