/** What a search costs while documents are ingested at full speed, and how long the worker's event loop is busy at a time meanwhile. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { generatedCorpus } from "../ingest/corpus.mjs";
import { Installation } from "../ingest/installation.mjs";
import { percentile, randomOf } from "../measure/statistics.mjs";

const project = "beside";
const searchesPerSecond = 5;
const documentChunks = 8;

/**
 * Searches are due at random times whatever the replies do, each asks something new; first on an idle installation, then beside the ingest.
 * @returns milliseconds of searches in both cases, the ratio of their 95th percentiles, and the event-loop delay of the worker, 99th percentile
 */
export async function measureBeside(chunks, idleSeconds, seed) {
  const delays = mkdtempSync(join(tmpdir(), "millrace-delays-"));
  const hook = fileURLToPath(new URL("event-loop-hook.mjs", import.meta.url));
  const installation = await Installation.start({ NODE_OPTIONS: `--import=${hook}`, BENCH_DELAYS: delays });
  const folders = [generatedCorpus(documentChunks * 10, seed, documentChunks), generatedCorpus(chunks, seed + 1, documentChunks)];
  const [first, second] = folders.map(({ folder }) => folder);
  const random = randomOf(seed);
  try {
    await installation.ingest([first, "--root", first, "--project", project]);
    await searchOnce(installation, random);
    const idle = await searching(installation, random, new Promise((wake) => setTimeout(wake, idleSeconds * 1_000)));
    for (const { name, pid } of installation.state().processes) if (name.startsWith("worker")) process.kill(pid, "SIGUSR2");
    const ingest = installation.ingest([second, "--root", second, "--project", project]);
    const busy = await searching(installation, random, ingest);
    const { summary, seconds } = await ingest;
    await installation.close();
    return {
      ...{ searchesPerSecond, chunks: summary.chunks, chunksPerSecond: summary.chunks / seconds },
      ...{ idle: percentiles(idle), busy: percentiles(busy), searches: [idle.length, busy.length] },
      p95Ratio: percentile(busy, 0.95) / percentile(idle, 0.95),
      workerDelayP99Ms: Math.max(...readdirSync(delays).map((name) => Number(readFileSync(join(delays, name), "utf8")))),
    };
  } finally {
    await installation.close();
    for (const folder of [first, second, delays]) rmSync(folder, { recursive: true, force: true });
  }
}

async function searching(installation, random, until) {
  let over = false;
  until.finally(() => {
    over = true;
  });
  const times = [];
  const underWay = [];
  for (;;) {
    await new Promise((wake) => setTimeout(wake, (-Math.log(1 - random()) / searchesPerSecond) * 1_000));
    if (over) break;
    underWay.push(searchOnce(installation, random).then((ms) => times.push(ms)));
  }
  await Promise.all(underWay);
  return times;
}

async function searchOnce(installation, random) {
  const query = `what ${Math.floor(random() * 1e9).toString(36)} says of part ${Math.floor(random() * 1e6).toString(36)}`;
  const startedAt = performance.now();
  await installation.request("/v1/search", { project, body: { query, top_k: 10 } });
  return performance.now() - startedAt;
}

const percentiles = (values) => ({ p50: percentile(values, 0.5), p95: percentile(values, 0.95) });
