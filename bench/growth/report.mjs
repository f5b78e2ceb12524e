import { fitPower } from "../measure/statistics.mjs";
import { conditionsLine } from "../report/results.mjs";
import { count, figure, megabytes, table } from "../report/table.mjs";

/** Growth per tenfold that counts as flat. */
const flatPercent = 5;
/** Of the whole pipeline to the bare loop, where the start of the command is a small part of the time. */
const bareRatioMin = 0.92;

/** Exponents of the fitted power laws: 0 is flat, 1 in proportion. */
export function exponents({ pipeline, synthetic }) {
  const fit = (rows, of) => fitPower(rows.map(({ chunks }) => chunks), rows.map(of)).exponent; // biome-ignore format: one line
  return {
    ourMemory: fit(pipeline, (row) => row.peakBytes),
    pipelineRate: fit(pipeline, (row) => row.chunksPerSecond),
    pipelineSearch: fit(pipeline, (row) => row.searchMs.p50),
    storeMemory: fit(synthetic, (row) => row.storePeakBytes),
    storeRate: fit(synthetic, (row) => row.chunksPerSecond),
    storeSearch: fit(synthetic, (row) => row.searchMs.p50),
  };
}

const percentPerTenfold = (exponent) => (10 ** exponent - 1) * 100;

export function growthMarkdown(result) {
  const { machine, seed, waiting, pipeline, beside, synthetic, exponents: e } = result;
  const memoryGrowth = percentPerTenfold(e.ourMemory);
  const last = pipeline.at(-1);
  const share = queueShare(last) * 100;
  const ratio = last.chunksPerSecond / last.bareChunksPerSecond;
  const bars = [
    [`pipeline ÷ bare loop over ${count(last.added)} chunks`, `≥ ${bareRatioMin}`, figure(ratio), ratio >= bareRatioMin],
    ["our memory per tenfold of chunks, %", `≤ ${flatPercent}`, figure(memoryGrowth), memoryGrowth <= flatPercent],
    ["queue Redis per waiting document, bytes", "≤ 2,048", count(waiting.bytesPerDocument), waiting.bytesPerDocument <= 2_048],
    ["both Redis, share of processor time, %", "≤ 1", figure(share), share <= 1],
    ["searches beside a full-speed ingest, p95 ÷ idle p95", "≤ 2", figure(beside.p95Ratio), beside.p95Ratio <= 2],
    ["event-loop delay of the worker meanwhile, p99, ms", "≤ 50", figure(beside.workerDelayP99Ms), beside.workerDelayP99Ms <= 50],
  ];
  return [
    `# Growth\n\n${conditionsLine(machine)}; seed ${seed}.`,
    `## The whole pipeline, real model\n\n${pipelineTable(pipeline)}`,
    `## Peak memory by process\n\n${memoryTable(pipeline)}\n\nThe peaks of single processes lie at different times; those of all but Milvus Lite together are the peak above.`,
    `## Synthetic vectors through the same store and writers' lane\n\n${syntheticTable(synthetic)}`,
    `## Fitted exponents (0: flat, 1: in proportion)\n\n${table(
      ["", "exponent"],
      Object.entries(e).map(([name, value]) => [name, value.toFixed(2)]),
    )}`,
    `## Bars\n\n${table(
      ["", "bar", "measured", "met"],
      bars.map(([name, bar, value, met]) => [name, bar, value, met ? "yes" : "no"]),
    )}`,
    `${waiting.documents} documents waited; ${figure(waiting.enqueuedPerSecond)} documents/s were enqueued.`,
    besideLine(beside),
  ].join("\n\n");
}

function pipelineTable(rows) {
  return table(
    [
      "chunks in the index",
      "chunks/s",
      "bare loop",
      "÷ bare",
      "our peak memory",
      "Milvus Lite",
      "search p50",
      "search p95",
      "first searchable",
    ],
    rows.map((row) => [
      count(row.chunks),
      figure(row.chunksPerSecond),
      figure(row.bareChunksPerSecond),
      figure(row.chunksPerSecond / row.bareChunksPerSecond),
      megabytes(row.peakBytes),
      megabytes(row.storePeakBytes),
      `${figure(row.searchMs.p50)} ms`,
      `${figure(row.searchMs.p95)} ms`,
      `${figure(row.firstSearchableSeconds)} s`,
    ]),
  );
}

/** A row for each kind of process, all of a kind together. */
function memoryTable(rows) {
  const roles = [...new Set(rows.flatMap(({ peakBytesByRole }) => Object.keys(peakBytesByRole)))];
  return table(
    ["", ...rows.map(({ chunks }) => `${count(chunks)} chunks`)],
    roles.map((role) => [role, ...rows.map(({ peakBytesByRole }) => megabytes(peakBytesByRole[role] ?? 0))]),
  );
}

function syntheticTable(rows) {
  return table(
    ["vectors in the store", "rows/s", "Milvus Lite", "search p50", "search p95"],
    rows.map((row) => [
      count(row.chunks),
      figure(row.chunksPerSecond),
      megabytes(row.storePeakBytes),
      `${figure(row.searchMs.p50)} ms`,
      `${figure(row.searchMs.p95)} ms`,
    ]),
  );
}

function besideLine({ idle, busy, searches, searchesPerSecond, chunksPerSecond }) {
  const of = ({ p50, p95 }) => `${figure(p50)} ms (median), ${figure(p95)} ms (95th percentile)`;
  return `New questions, ${searchesPerSecond} a second: ${of(idle)} on an idle machine, ${of(busy)} beside an ingest of ${figure(chunksPerSecond)} chunks/s; ${searches.join(" and ")} searches.`;
}

function queueShare({ cpuSeconds }) {
  return (cpuSeconds.Redis ?? 0) / Object.values(cpuSeconds).reduce((sum, each) => sum + each, 0);
}

/** The few figures of the README. */
export function readmeTable({ machine, pipeline, synthetic }) {
  return `Growth (${conditionsLine(machine)}; \`npm run bench -- growth\`):\n\n${pipelineTable(pipeline)}\n\n${syntheticTable(synthetic)}`;
}
