import { median, summarise } from "../measure/statistics.mjs";
import { barPlot } from "../report/plot.mjs";
import { conditionsLine } from "../report/results.mjs";
import { count, figure, megabytes, table } from "../report/table.mjs";

/** Median over the repetitions. @param {(run: object) => number} of */
export const mid = (runs, of) => (runs === undefined ? undefined : median(runs.map(of)));
export const cpuOf = ({ cpuSeconds }) => Object.values(cpuSeconds).reduce((sum, each) => sum + each, 0);
const rate = ({ chunks, seconds }) => chunks / seconds;
export const tokenRate = ({ tokens, seconds }) => tokens / seconds;

export function comparisonTable(contestants, runs) {
  const head = [
    "",
    "chunks",
    "tokens/s",
    "chunks/s",
    "documents/s",
    "padding",
    "CPU s per 1,000 chunks",
    "peak memory",
    "Milvus Lite",
    "first searchable",
  ];
  const rows = contestants.map(({ name }) => {
    const own = runs[name];
    const { min, max } = summarise(own.map(rate));
    const seconds = mid(own, (run) => run.firstSearchableSeconds ?? Number.NaN);
    return [
      name,
      count(own[0].chunks),
      figure(mid(own, tokenRate)),
      `${figure(mid(own, rate))} (${figure(min)}–${figure(max)})`,
      figure(mid(own, (run) => run.documents / run.seconds)),
      figure(mid(own, (run) => run.paddedTokens / run.tokens)),
      figure(mid(own, (run) => (cpuOf(run) * 1_000) / run.chunks)),
      megabytes(mid(own, (run) => run.peakBytes)),
      mid(own, (run) => run.storePeakBytes) > 0 ? megabytes(mid(own, (run) => run.storePeakBytes)) : "–",
      Number.isFinite(seconds) ? `${figure(seconds)} s` : "–",
    ];
  });
  return table(head, rows);
}

/** The median of the ratios within each repetition: what the machine did meanwhile mostly cancels. */
function ratio(over, under, of) {
  if (over === undefined || under === undefined) return undefined;
  return median(over.map((run, index) => of(run) / of(under[index])));
}

function barsOf(runs) {
  const [bare, embedder, pipeline] = [runs["bare onnxruntime-node"], runs["our embedder"], runs["our pipeline"]];
  const [langchain, langchainBest] = [runs["LangChain.js + Milvus, default"], runs["LangChain.js + Milvus, best"]];
  const queueShare = (run) => ((run.cpuSeconds.Redis ?? 0) / cpuOf(run)) * 100;
  return [
    { bar: "our embedder ÷ bare loop, tokens/s", wanted: "≥ 0.97", value: ratio(embedder, bare, tokenRate), met: (value) => value >= 0.97 },
    {
      bar: "our pipeline ÷ bare loop, text, tokens/s",
      wanted: "≥ 0.92",
      value: ratio(pipeline, bare, tokenRate),
      met: (value) => value >= 0.92,
    },
    {
      bar: "our pipeline ÷ bare loop, PDF, tokens/s",
      wanted: "≥ 0.85",
      value: ratio(runs["our pipeline, PDF"], runs["bare onnxruntime-node, PDF"], tokenRate),
      met: (value) => value >= 0.85,
    },
    {
      bar: "our pipeline ÷ LangChain.js default, chunks/s",
      wanted: "≥ 5",
      value: ratio(pipeline, langchain, rate),
      met: (value) => value >= 5,
    },
    {
      bar: "our pipeline ÷ LangChain.js best, chunks/s",
      wanted: "≥ 5",
      value: ratio(pipeline, langchainBest, rate),
      met: (value) => value >= 5,
    },
    {
      bar: "our peak memory ÷ LangChain.js default",
      wanted: "≤ 0.125",
      value: ratio(pipeline, langchain, (run) => run.peakBytes),
      met: (value) => value <= 0.125,
    },
    {
      bar: "peak memory without Milvus Lite, GB",
      wanted: "≤ 1.2",
      value:
        Math.max(
          mid(pipeline, (run) => run.peakBytes),
          mid(runs["our pipeline, PDF"], (run) => run.peakBytes) ?? 0,
        ) / 1e9,
      met: (value) => value <= 1.2,
    },
    { bar: "queue's share of processor time (both Redis), %", wanted: "≤ 1", value: mid(pipeline, queueShare), met: (value) => value <= 1 },
  ].filter(({ value }) => value !== undefined);
}

export function barsTable(runs) {
  const rows = barsOf(runs).map(({ bar, wanted, value, met }) => [bar, wanted, figure(value), met(value) ? "yes" : "no"]);
  return table(["", "bar", "measured", "met"], rows);
}

/** Processor seconds by process, per 1,000 chunks. */
export function profileTable(runs) {
  const sets = [runs["our pipeline"], runs["our pipeline, PDF"]].filter((own) => own !== undefined);
  const roles = [...new Set(sets.flat().flatMap((run) => Object.keys(run.cpuSeconds)))];
  const cell = (own, role) => {
    const seconds = mid(own, (run) => ((run.cpuSeconds[role] ?? 0) * 1_000) / run.chunks);
    const share = mid(own, (run) => ((run.cpuSeconds[role] ?? 0) / cpuOf(run)) * 100);
    return `${figure(seconds)} s (${figure(share)} %)`;
  };
  const memory = (own, role) => megabytes(mid(own, (run) => run.peakBytesByRole[role] ?? 0));
  const rows = roles
    .sort((a, b) => mid(sets[0], (run) => run.cpuSeconds[b] ?? 0) - mid(sets[0], (run) => run.cpuSeconds[a] ?? 0))
    .map((role) => [role, ...sets.flatMap((own) => [cell(own, role), memory(own, role)])]);
  return table(["process", "text: CPU per 1,000 chunks", "peak", "PDF: CPU per 1,000 chunks", "peak"].slice(0, 1 + 2 * sets.length), rows);
}

/** The few figures of the README. */
export function readmeTable(machine, runs) {
  const rows = Object.entries(runs).map(([name, own]) => [
    name,
    figure(mid(own, tokenRate)),
    figure(mid(own, rate)),
    megabytes(mid(own, (run) => run.peakBytes)),
  ]);
  return `Ingestion, int8 (${conditionsLine(machine)}; Milvus Lite's own memory apart; \`npm run bench -- ingest\`):\n\n${table(["", "tokens/s", "chunks/s", "peak memory"], rows)}`;
}

export function speedPlot(runs) {
  const bars = Object.entries(runs).map(([label, own]) => {
    const { median: value, min: low, max: high } = summarise(own.map(tokenRate));
    return { label, value, low, high };
  });
  return barPlot({ title: "Ingestion", unit: "useful tokens per second, median and range", bars });
}
