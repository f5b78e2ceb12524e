/**
 * The bound: onnxruntime-node on ready tensors. No tokenizer, no files, no store. Where the graph takes one text at a time, a process per core, each with
 * an equal part of the texts (`session.run` blocks the process that calls it); else batches of like length on all cores.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { paddedTokens, serveContestant } from "./contestant.mjs";

/** Padded tokens of one batch: the best of 256 to 4,096 on the machines tried. */
const batchTokensMax = 1_024;
const output = ["sentence_embedding"];

const part = process.argv[2] === "part";
if (part) process.once("message", runPart);
else
  serveContestant(async ({ onnxPath, ids }) =>
    (await takesBatches(onnxPath)) ? prepareBatches(onnxPath, ids) : prepareParts(onnxPath, ids),
  );

async function takesBatches(onnxPath) {
  const session = await InferenceSession.create(onnxPath);
  const { inputNames } = session;
  await session.release();
  return inputNames.includes("attention_mask");
}

async function prepareParts(onnxPath, ids) {
  const count = availableParallelism();
  const longestFirst = [...ids].sort((a, b) => b.length - a.length);
  const children = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const child = fork(fileURLToPath(import.meta.url), ["part"], { serialization: "advanced" });
      child.send({ onnxPath, ids: longestFirst.filter((_, position) => position % count === index) });
      await once(child, "message");
      return child;
    }),
  );
  return async () => {
    await Promise.all(
      children.map(async (child) => {
        child.send("run");
        await once(child, "message");
      }),
    );
    return {};
  };
}

async function runPart({ onnxPath, ids }) {
  const session = await InferenceSession.create(onnxPath, { intraOpNumThreads: 1, interOpNumThreads: 1, enableMemPattern: false });
  const feeds = ids.map((each) => ({ input_ids: new Tensor("int32", Int32Array.from(each), [1, each.length]) }));
  await session.run(feeds[0], output);
  process.once("message", async () => {
    for (const feed of feeds) await session.run(feed, output);
    process.send("done", () => process.disconnect());
  });
  process.send("ready");
}

async function prepareBatches(onnxPath, ids) {
  const session = await InferenceSession.create(onnxPath, {
    graphOptimizationLevel: "all",
    intraOpNumThreads: availableParallelism(),
    interOpNumThreads: 1,
    enableMemPattern: false,
  });
  const batches = batchesOf(ids);
  const feeds = batches.map(feedOf);
  await session.run(feedOf([[101, 2_204, 102]]), output);
  return async () => {
    for (const feed of feeds) await session.run(feed, output);
    return { paddedTokens: paddedTokens(batches.map((batch) => batch.map((each) => each.length))) };
  };
}

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
