/**
 * Ingestion, side by side: a bare ONNX Runtime loop, our embedder, the whole pipeline, transformers.js, LangChain.js. Same documents, model and machine;
 * every repetition runs all of them, in an order that the seed draws, so that what else the machine does hits all alike.
 */
import { rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chunksOf, pdfCorpus, textCorpus } from "./ingest/corpus.mjs";
import { Installation } from "./ingest/installation.mjs";
import { runEmbedder, runLangChain, runPipeline } from "./ingest/measure.mjs";
import { installPeers } from "./ingest/peers.mjs";
import { barsTable, comparisonTable, profileTable, readmeTable, speedPlot } from "./ingest/report.mjs";
import { modelOf, tokenise } from "./ingest/tokenise.mjs";
import { shuffled } from "./measure/statistics.mjs";
import { updateReadme } from "./report/readme.mjs";
import { conditions, conditionsLine, record } from "./report/results.mjs";

export const summary = "ingestion beside a bare ONNX Runtime loop, transformers.js and LangChain.js";

const usage = `options:
  --quick              a minute instead of a quarter of an hour: few chunks, two repetitions, recorded in the temporary folder
  --chunks <n>         size of the text corpus (1000)
  --peer-share <0..1>  share of its chunks that transformers.js and LangChain.js get (0.5: a batch of LangChain.js, 512, is then full)
  --repetitions <n>    (5)
  --no-peers           only ours and the bare loop
  --no-pdf             only text
  --seed <n>           draws documents and order (1)`;

export async function run(args) {
  const options = optionsOf(args);
  if (options === undefined) return console.log(usage);
  if (options.peers) await installPeers();
  const model = modelOf("int8");
  const sets = await prepare(options, model);
  const contestants = contestantsOf(sets, options, model);
  /** @type {Record<string, object[]>} */
  const runs = Object.fromEntries(contestants.map(({ name }) => [name, []]));
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    for (const { name, measure } of shuffled(contestants, options.seed + repetition)) {
      const result = await twice(name, measure);
      runs[name].push(result);
      console.error(`${repetition + 1}/${options.repetitions} ${name}: ${Math.round(result.chunks / result.seconds)} chunks/s`);
    }
  }
  report({ options, sets, contestants: contestants.map(({ measure, ...facts }) => facts), runs });
  for (const { folder } of sets) rmSync(folder, { recursive: true, force: true });
}

function optionsOf(args) {
  const number = (value, standard) => (value === undefined ? standard : Number(value));
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
      chunks: { type: "string" },
      "peer-share": { type: "string" },
      repetitions: { type: "string" },
      seed: { type: "string" },
      "no-peers": { type: "boolean", default: false },
      "no-pdf": { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  return {
    quick: values.quick,
    chunks: number(values.chunks, values.quick ? 60 : 1_000),
    peerShare: number(values["peer-share"], 0.5),
    repetitions: number(values.repetitions, values.quick ? 2 : 5),
    seed: number(values.seed, 1),
    peers: !values["no-peers"],
    pdf: !values["no-pdf"],
  };
}

/** Once more after a failure, so that a peer's timeout does not cost the whole run; it is said, and a second failure ends the run. */
function twice(name, measure) {
  return measure().catch((error) => {
    console.error(`${name} failed and is run again: ${error.message}`);
    return measure();
  });
}

/** Corpora and what the product makes of them, so that all contestants get the same chunks. */
async function prepare({ chunks, quick, pdf, seed }, model) {
  const corpora = [{ name: "text", ...textCorpus(chunks, seed) }];
  const pdfs = pdf ? pdfCorpus(quick) : undefined;
  if (pdfs !== undefined) corpora.push({ name: "pdf", ...pdfs });
  const installation = await Installation.start();
  try {
    const sets = [];
    for (const corpus of corpora)
      sets.push({ ...corpus, chunks: await tokenise(model, await chunksOf(installation, corpus.folder, corpus.name)) });
    return sets;
  } finally {
    await installation.close();
  }
}

function contestantsOf(sets, { peers, peerShare, seed }, model) {
  const [text, pdf] = sets;
  const share = shuffled(text.chunks, seed).slice(0, Math.ceil(text.chunks.length * peerShare));
  const best = { dtype: "int8", batchSize: 4, sorted: true };
  const all = [
    { name: "bare onnxruntime-node", set: "text", measure: () => runEmbedder("contestants/bare.mjs", text.chunks, model) },
    {
      name: "bare onnxruntime-node, padded batches",
      set: "text",
      measure: () => runEmbedder("contestants/bare.mjs", text.chunks, model.exchange),
    },
    { name: "our embedder", set: "text", measure: () => runEmbedder("contestants/embedder.mjs", text.chunks, model) },
    { name: "our pipeline", set: "text", measure: () => runPipeline(text) },
    { name: "bare onnxruntime-node, PDF", set: "pdf", measure: () => runEmbedder("contestants/bare.mjs", pdf.chunks, model) },
    { name: "our pipeline, PDF", set: "pdf", measure: () => runPipeline(pdf) },
    { name: "transformers.js, best", set: "share", measure: () => runEmbedder("peers/transformers.mjs", share, { ...model, ...best }) },
    {
      name: "LangChain.js + Milvus, best",
      set: "share",
      measure: () => runLangChain(share, { ...model, ...best, rowsPerCall: 64 }),
    },
    { name: "LangChain.js + Milvus, default", set: "share", measure: () => runLangChain(share, { ...model, dtype: "fp32" }) },
  ];
  return all.filter(({ set }) => (set !== "pdf" || pdf !== undefined) && (set !== "share" || peers));
}

function report({ options, sets, contestants, runs }) {
  const machine = conditions();
  const about = sets.map(({ name, files, chunks, origin }) => ({
    name,
    files,
    chunks: chunks.length,
    tokens: chunks.reduce((sum, { ids }) => sum + ids.length, 0),
    origin,
  }));
  const markdown = [
    `# Ingestion\n\n${conditionsLine(machine)}; int8, ${availableParallelism()} threads, seed ${options.seed}, median of ${options.repetitions} interleaved repetitions.`,
    about
      .map(({ name, files, chunks, tokens, origin }) => `- ${name}: ${origin}, ${files} files, ${chunks} chunks, ${tokens} tokens`)
      .join("\n"),
    `The peers get ${Math.round(options.peerShare * 100)} % of the text's chunks, ready made: reading, parsing and cutting costs them nothing.`,
    comparisonTable(contestants, runs),
    `## Bars\n\n${barsTable(runs)}`,
    `## Where the time of the pipeline goes\n\n${profileTable(runs)}`,
  ].join("\n\n");
  const folder = options.quick ? join(tmpdir(), "millrace-bench-results") : undefined;
  const plots = { speed: speedPlot(runs) };
  const paths = record({ name: "ingest", data: { machine, options, corpora: about, contestants, runs }, markdown, plots }, folder);
  if (!options.quick) updateReadme("ingest", readmeTable(machine, runs));
  console.log(`${markdown}\n\n${paths.join("\n")}`);
}
