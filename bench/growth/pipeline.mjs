/** The whole pipeline at growing sizes. */
import { rmSync } from "node:fs";
import { generatedCorpus } from "../ingest/corpus.mjs";
import { Meter } from "../measure/meter.mjs";
import { percentiles, randomOf } from "../measure/statistics.mjs";

const searches = 30;
const chunksPerFile = 8;

/** @returns one row per size: rate, memory and processor time of the ingest that led there, and search latency afterwards */
export async function measurePipeline(installation, sizes, seed) {
  const rows = [];
  let chunks = 0;
  for (const [step, size] of sizes.entries()) {
    const { folder } = generatedCorpus(size - chunks, seed + step, chunksPerFile);
    const roots = [installation.pid];
    const meter = new Meter(() => roots);
    const run = await installation.ingest([folder, "--root", folder, "--project", `growth-${step}`], (pid) => roots.push(pid));
    const measured = meter.stop();
    rmSync(folder, { recursive: true, force: true });
    chunks += run.summary.chunks;
    const searchMs = await searchLatency(installation, `growth-${step}`, seed + step);
    const { seconds, firstSearchableSeconds } = run;
    rows.push({
      chunks,
      added: run.summary.chunks,
      seconds,
      firstSearchableSeconds,
      chunksPerSecond: run.summary.chunks / seconds,
      searchMs,
      ...measured,
    });
    console.error(
      `pipeline: ${chunks} chunks, ${Math.round(run.summary.chunks / seconds)} chunks/s, search ${Math.round(searchMs.p50)} ms`,
    );
  }
  return rows;
}

async function searchLatency(installation, project, seed) {
  const random = randomOf(seed);
  await searchAnew(installation, project, random); // warm
  const times = [];
  for (let each = 0; each < searches; each++) times.push(await searchAnew(installation, project, random));
  return percentiles(times);
}

/** A search that nobody made before, so that nothing of it comes from the cache. @returns milliseconds seen by the client */
export async function searchAnew(installation, project, random) {
  const query = `part ${Math.floor(random() * 1e9).toString(36)} of ${Math.floor(random() * 1e6).toString(36)}`;
  const startedAt = performance.now();
  await installation.request("/v1/search", { project, body: { query, top_k: 10 } });
  return performance.now() - startedAt;
}
