/**
 * What grows with the number of chunks, and how: the whole pipeline with the real model, then synthetic vectors through the same store and its
 * writers' lane. One installation, each size on top of the one before, as a user's index grows.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureBeside } from "./growth/beside.mjs";
import { measurePipeline } from "./growth/pipeline.mjs";
import { exponents, growthMarkdown, readmeTable } from "./growth/report.mjs";
import { measureStore } from "./growth/synthetic.mjs";
import { measureWaiting } from "./growth/waiting.mjs";
import { Installation } from "./ingest/installation.mjs";
import { logPlot } from "./report/plot.mjs";
import { updateReadme } from "./report/readme.mjs";
import { conditions, record } from "./report/results.mjs";

export const summary = "rate, memory and search latency as the index grows";

const usage = `options:
  --quick               a minute: tiny sizes, recorded in the temporary folder
  --pipeline <n,n,…>    chunks in the index after each ingest with the real model (1000,10000,50000); the last takes seven minutes
  --synthetic <n,n,…>   vectors in the store after each step (1000,10000,50000,200000)
  --seed <n>            (1)`;

export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
      pipeline: { type: "string" },
      synthetic: { type: "string" },
      seed: { type: "string", default: "1" },
    },
  });
  if (values.help) return console.log(usage);
  const sizes = (text, standard) => (text ?? standard).split(",").map(Number);
  const seed = Number(values.seed);
  const machine = conditions();
  const result = { machine, seed };
  const installation = await Installation.start();
  try {
    result.waiting = await measureWaiting(installation, values.quick ? 50 : 2_000, seed);
    result.pipeline = await measurePipeline(installation, sizes(values.pipeline, values.quick ? "30,60" : "1000,10000,50000"), seed);
  } finally {
    await installation.close();
  }
  result.beside = await measureBeside(values.quick ? 60 : 3_000, values.quick ? 2 : 40, seed);
  result.synthetic = await measureStore(sizes(values.synthetic, values.quick ? "500,1000" : "1000,10000,50000,200000"), seed);
  report(result, values.quick);
}

function report(result, quick) {
  result.exponents = exponents(result);
  const markdown = growthMarkdown(result);
  const points = (rows, of) => rows.map((row) => [row.chunks, of(row)]).filter(([, value]) => value > 0);
  const plots = {
    latency: logPlot({
      title: "Search latency, median",
      x: "chunks in the index",
      y: "milliseconds",
      series: [
        { label: "whole service, real chunks", points: points(result.pipeline, (row) => row.searchMs.p50) },
        { label: "store alone, synthetic vectors", points: points(result.synthetic, (row) => row.searchMs.p50) },
      ],
    }),
    memory: logPlot({
      title: "Peak memory",
      x: "chunks in the index",
      y: "megabytes",
      series: [
        { label: "ours, while ingesting", points: points(result.pipeline, (row) => row.peakBytes / 1e6) },
        { label: "Milvus Lite, while ingesting", points: points(result.pipeline, (row) => row.storePeakBytes / 1e6) },
        { label: "Milvus Lite, synthetic", points: points(result.synthetic, (row) => row.storePeakBytes / 1e6) },
      ],
    }),
    rate: logPlot({
      title: "Rate",
      x: "chunks in the index",
      y: "chunks per second",
      series: [
        { label: "bare loop", points: points(result.pipeline, (row) => row.bareChunksPerSecond) },
        { label: "whole pipeline", points: points(result.pipeline, (row) => row.chunksPerSecond) },
        { label: "store alone, synthetic vectors", points: points(result.synthetic, (row) => row.chunksPerSecond) },
      ],
    }),
  };
  const paths = record({ name: "growth", data: result, markdown, plots }, quick ? join(tmpdir(), "millrace-bench-results") : undefined);
  if (!quick) updateReadme("growth", readmeTable(result));
  console.log(`${markdown}\n\n${paths.join("\n")}`);
}
