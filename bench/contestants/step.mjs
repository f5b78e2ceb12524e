/** One step of the ablation: the texts through ONNX Runtime as the step says, in this process or in one per core. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { AutoTokenizer, env } from "@xenova/transformers";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { paddedTokens, serveContestant } from "./contestant.mjs";

const isPart = process.argv[2] === "part";
if (isPart) process.once("message", servePart);
else serveContestant((options) => (options.step.processPerCore ? prepareParts(options) : prepare(options, availableParallelism())));

/** Texts by length, dealt out in turn, so that all processes have the same to do. */
async function prepareParts({ texts, ids, ...options }) {
  const count = availableParallelism();
  const byLength = ids.map((_, index) => index).sort((a, b) => ids[b].length - ids[a].length);
  const parts = await Promise.all(
    Array.from({ length: count }, async (_, part) => {
      const own = byLength.filter((_, position) => position % count === part);
      const child = fork(fileURLToPath(import.meta.url), ["part"], { serialization: "advanced" });
      child.send({ ...options, texts: own.map((index) => texts[index]), ids: own.map((index) => ids[index]) });
      await once(child, "message");
      return { child, own };
    }),
  );
  return async () => {
    const vectors = [];
    let padded = 0;
    await Promise.all(
      parts.map(async ({ child, own }) => {
        child.send("run");
        const [result] = await once(child, "message");
        padded += result.paddedTokens;
        for (const [at, index] of own.entries()) if (result.vectors[at] !== undefined) vectors[index] = result.vectors[at];
      }),
    );
    return { paddedTokens: padded, vectors: kept(options, vectors) };
  };
}

async function servePart(options) {
  const run = await prepare({ ...options, keep: Number.POSITIVE_INFINITY }, 1);
  process.once("message", async () => process.send(await run(), () => process.disconnect()));
  process.send("ready");
}

/** @param {number} threads */
async function prepare({ step, modelPath, onnxPath, texts, ids, keep }, threads) {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(modelPath);
  const tokenizer = step.tokenise ? await AutoTokenizer.from_pretrained(basename(modelPath), { local_files_only: true }) : undefined;
  const session = await InferenceSession.create(onnxPath, {
    graphOptimizationLevel: "all",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    enableMemPattern: false,
  });
  const embed = session.outputNames.includes("sentence_embedding") ? embedInside : embedAndPool;
  await embed(session, [[101, 2_204, 102]]);
  return async () => {
    const encoded = tokenizer === undefined ? ids : texts.map((text) => tokenizer.encode(text));
    const batches = batchesOf(encoded, step);
    const vectors = [];
    for (const batch of batches) {
      const found = await embed(session, batch.map((index) => encoded[index])); // biome-ignore format: one line
      for (const [row, index] of batch.entries()) vectors[index] = found[row];
    }
    const widths = batches.map((batch) => batch.map((index) => encoded[index].length));
    return { paddedTokens: paddedTokens(widths), vectors: kept({ keep }, vectors) };
  };
}

/** As plain lists: messages to the benchmark are JSON. */
const kept = ({ keep = 0 }, vectors) => vectors.slice(0, keep).map((vector) => Array.from(vector));

/** Batches of indices. */
function batchesOf(encoded, { order, batch: most }) {
  const indices = encoded.map((_, index) => index);
  if (order === "length") indices.sort((a, b) => encoded[b].length - encoded[a].length);
  const batches = [];
  let width = 0;
  for (const index of indices) {
    const batch = batches.at(-1);
    const wider = Math.max(width, encoded[index].length);
    const fits = batch !== undefined && ("rows" in most ? batch.length < most.rows : (batch.length + 1) * wider <= most.paddedTokens);
    if (fits) batch.push(index);
    else batches.push([index]);
    width = fits ? wider : encoded[index].length;
  }
  return batches;
}

async function embedInside(session, batch) {
  const { data } = (await session.run(feedsOf(session, batch), ["sentence_embedding"])).sentence_embedding;
  const dimension = data.length / batch.length;
  return batch.map((_, row) => data.slice(row * dimension, (row + 1) * dimension));
}

/** Mean over the tokens of each text, then unit length: what the library does with the states that leave the graph. */
async function embedAndPool(session, batch) {
  const { data, dims } = (await session.run(feedsOf(session, batch), ["last_hidden_state"])).last_hidden_state;
  const [, width, dimension] = dims;
  return batch.map((ids, row) => {
    const sum = new Float32Array(dimension);
    for (let token = 0; token < ids.length; token++) {
      const offset = (row * width + token) * dimension;
      for (let at = 0; at < dimension; at++) sum[at] += data[offset + at];
    }
    const norm = Math.hypot(...sum);
    return sum.map((value) => value / norm);
  });
}

function feedsOf(session, batch) {
  if (!session.inputNames.includes("attention_mask"))
    return { input_ids: new Tensor("int32", Int32Array.from(batch[0]), [1, batch[0].length]) };
  const width = Math.max(...batch.map((ids) => ids.length));
  const [ids, mask] = [new BigInt64Array(batch.length * width), new BigInt64Array(batch.length * width)];
  for (const [row, tokens] of batch.entries()) {
    ids.set(tokens.map(BigInt), row * width);
    mask.fill(1n, row * width, row * width + tokens.length);
  }
  const tensor = (data) => new Tensor("int64", data, [batch.length, width]);
  return { input_ids: tensor(ids), attention_mask: tensor(mask), token_type_ids: tensor(new BigInt64Array(ids.length)) };
}
