import { conditionsLine } from "../report/results.mjs";
import { figure, table } from "../report/table.mjs";

/** Everything that was measured, beside the bars. A part that was not measured is undefined. */
export function queryMarkdown({ machine, rows, seed, topK, cached, latency, cold, batching, overload: beyond }) {
  const lines = [];
  const line = (...cells) => lines.push(cells);
  if (cached !== undefined) {
    line("cached searches/s at most, 32 connections", figure(cached.servicePerSecond), "");
    line(`bare node:http + Redis GET of the same ${cached.bodyBytes} bytes, replies/s`, figure(cached.barePerSecond), "");
    line("ratio", figure(cached.ratio), "≥ 0.75");
    line("processor time per reply of the two, µs", `${figure(cached.serviceCpuMicroseconds)}, ${figure(cached.bareCpuMicroseconds)}`, "");
    line("ratio of rates that follows from it", figure(cached.cpuRatio), "≥ 0.75");
  }
  if (latency !== undefined) {
    line("cached, 2,000/s open loop: p50, ms", figure(latency.p50), "≤ 1");
    line("p99, ms", figure(latency.p99), "≤ 5");
    line("the bare server under the same load: p50, p99, ms", `${figure(latency.bare.p50)}, ${figure(latency.bare.p99)}`, "");
    line("of both, how late a request was sent: p50, p99, ms", `${figure(latency.sentLate.p50)}, ${figure(latency.sentLate.p99)}`, "");
    line("event loop of the service, p99, ms (10 of them the timer's)", figure(latency.eventLoopP99Ms), "≤ 20");
  }
  if (cold !== undefined) {
    line("cold search, one at a time: p50, ms", figure(cold.serviceMs.p50), "");
    line("embedding + raw Milvus call: p50, ms", figure(cold.partsMs.p50), "");
    line("ratio", figure(cold.ratio), "≤ 1.15");
  }
  if (batching !== undefined) {
    line("cold searches/s, 16 clients", figure(batching.servicePerSecond), "");
    line("the same in mode hybrid, 100 candidates of each list", figure(batching.hybridPerSecond), "");
    if (cold !== undefined) {
      line("16 single raw Milvus calls at once, by cosine as is usual, calls/s", figure(cold.rawTogetherPerSecond), "");
      line("ratio", figure(batching.servicePerSecond / cold.rawTogetherPerSecond), "≥ 8");
      line("the same by product, as the service asks, calls/s", figure(cold.rawTogetherByProductPerSecond), "");
    }
    line("mean searches per request to Milvus", figure(batching.meanBatch), "");
    line("event loop of the service, p99, ms", figure(batching.eventLoopP99Ms), "≤ 20");
  }
  if (beyond !== undefined) {
    line(`overload, ${beyond.perSecond} new questions/s: answered/s`, figure(beyond.answeredPerSecond), "");
    line("answered: p50, p99, ms", `${figure(beyond.answered.p50)}, ${figure(beyond.answered.p99)}`, "");
    line("refused (429, 503), all with Retry-After", `${beyond.refused} (${beyond.withRetryAfter} with it)`, "all");
    line("refusals: p50, p99, ms", `${figure(beyond.refusals.p50)}, ${figure(beyond.refusals.p99)}`, "");
    line("a search right afterwards, ms", figure(beyond.afterwardsMs), "");
  }
  return `# Searches\n\n${conditionsLine(machine)}, load average ${machine.loadAverage}. ${rows.toLocaleString("en-US")} rows on Milvus Lite, top_k ${topK}, mode dense, seed ${seed}.\n\n${table(["", "measured", "bar"], lines)}`;
}

/** The few figures of the README. */
export function readmeTable({ machine, rows, cached, latency, cold, batching }) {
  const lines = [
    ["a search that is in the cache, at 2,000/s: p50, p99, ms", `${figure(latency.p50)}, ${figure(latency.p99)}`],
    ["cached searches/s at most", figure(cached.servicePerSecond)],
    ["bare node:http + Redis GET of the same bytes, replies/s", figure(cached.barePerSecond)],
    ["a new question: p50, ms", figure(cold.serviceMs.p50)],
    ["embedding it + the raw Milvus call: p50, ms", figure(cold.partsMs.p50)],
    ["new questions/s, 16 clients", figure(batching.servicePerSecond)],
    ["raw Milvus calls/s by cosine, 16 at once", figure(cold.rawTogetherPerSecond)],
  ];
  return `Searches over ${rows.toLocaleString("en-US")} chunks on Milvus Lite, by vector (${conditionsLine(machine)}; \`npm run bench -- query\`):\n\n${table(["", "measured"], lines)}`;
}
