import { cpuOf, mid, tokenRate } from "../ingest/report.mjs";
import { median, summarise } from "../measure/statistics.mjs";
import { barPlot } from "../report/plot.mjs";
import { conditionsLine } from "../report/results.mjs";
import { figure, megabytes, table } from "../report/table.mjs";

const cpuPerThousandChunks = (run) => (cpuOf(run) * 1_000) / run.chunks;

/** @param {readonly import("./steps.mjs").Step[]} steps @param {Record<string, object[]>} runs @param {Record<string, number>} ndcg */
export function ablationTable(steps, runs, ndcg) {
  const rows = steps.map(({ name }, index) => {
    const own = runs[name];
    const before = runs[steps[Math.max(index - 1, 0)].name];
    const { min, max } = summarise(own.map(tokenRate));
    // Within a repetition, so that what the machine did meanwhile mostly cancels.
    const gain = median(own.map((run, at) => tokenRate(run) / tokenRate(before[at])));
    return [
      index === 0 ? name : `+ ${name}`,
      `${figure(mid(own, tokenRate))} (${figure(min)}–${figure(max)})`,
      index === 0 ? "" : `× ${figure(gain)}`,
      figure(mid(own, (run) => run.paddedTokens / run.tokens)),
      figure(mid(own, cpuPerThousandChunks)),
      megabytes(mid(own, (run) => run.peakBytes)),
      ndcg[name] === undefined ? "" : ndcg[name].toFixed(4),
    ];
  });
  return table(["", "tokens/s", "gain", "padding", "CPU s per 1,000 chunks", "peak memory", "nDCG@10"], rows);
}

export function readmeTable(machine, steps, runs) {
  const rows = steps.map(({ name }, index) => [
    index === 0 ? name : `+ ${name}`,
    figure(mid(runs[name], tokenRate)),
    figure(mid(runs[name], cpuPerThousandChunks)),
    megabytes(mid(runs[name], (run) => run.peakBytes)),
  ]);
  const head = ["", "tokens/s", "CPU s per 1,000 chunks", "peak memory"];
  return `What each step to our embedding is worth (${conditionsLine(machine)}; \`npm run bench -- ablation\`):\n\n${table(head, rows)}`;
}

export function ablationPlot(steps, runs) {
  const bars = steps.map(({ name }, index) => {
    const { median: value, min: low, max: high } = summarise(runs[name].map(tokenRate));
    return { label: index === 0 ? "default" : `+ ${name}`, value, low, high };
  });
  return barPlot({ title: "Embedding, step by step", unit: "useful tokens per second, median and range", bars });
}
