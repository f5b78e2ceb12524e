/** The whole pipeline at growing sizes, beside the bare loop on the same chunks. */
import { rmSync } from "node:fs";
import { generatedCorpus, readChunks } from "../ingest/corpus.mjs";
import { runEmbedder } from "../ingest/measure.mjs";
import { modelOf, tokenise } from "../ingest/tokenise.mjs";
import { Meter } from "../measure/meter.mjs";
import { percentiles, randomOf, shuffled } from "../measure/statistics.mjs";

const searches = 30;
const chunksPerFile = 8;
/** The bare loop gets so many of the chunks of a size at most, drawn by the seed: a quarter of a minute. */
const bareChunksMax = 2_000;

/**
 * The installation has ingested and searched before, so that what its processes take for their first work counts for no size.
 * @returns one row per size: rate, memory and processor time of the ingest that led there, search latency afterwards, and the rate of the bare loop right after
 */
export async function measurePipeline(installation, sizes, seed) {
  const rows = [];
  await searchLatency(installation, "waiting", seed);
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
    const bareChunksPerSecond = await bareRate(installation, `growth-${step}`, shuffled(run.documents, seed));
    const { seconds, firstSearchableSeconds } = run;
    rows.push({
      chunks,
      added: run.summary.chunks,
      seconds,
      firstSearchableSeconds,
      chunksPerSecond: run.summary.chunks / seconds,
      bareChunksPerSecond,
      searchMs,
      ...measured,
    });
    console.error(
      `pipeline: ${chunks} chunks, ${Math.round(run.summary.chunks / seconds)} chunks/s (bare loop ${Math.round(bareChunksPerSecond)}), search ${Math.round(searchMs.p50)} ms`,
    );
  }
  return rows;
}

/** @returns chunks per second of the bare loop, while the installation is idle */
async function bareRate(installation, project, documents) {
  const model = modelOf("int8");
  const chunks = await tokenise(model, await readChunks(installation, project, documents, bareChunksMax));
  const { seconds } = await runEmbedder("contestants/bare.mjs", chunks, model);
  return chunks.length / seconds;
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
