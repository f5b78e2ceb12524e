/** What a search costs while documents are ingested at full speed, and how long the worker's event loop is busy at a time meanwhile. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { generatedCorpus } from "../ingest/corpus.mjs";
import { Installation } from "../ingest/installation.mjs";
import { percentiles, randomOf } from "../measure/statistics.mjs";
import { searchAnew } from "./pipeline.mjs";

const project = "beside";
const searchesPerSecond = 5;
const documentChunks = 8;

/** After an ingest, until what it left in memory is flushed and merged. */
const settleMs = 3_000;

/**
 * Searches are due at random times whatever the replies do, each asks something new: beside the ingest, and on an idle installation half of the time before it
 * and half after it, as the index is larger then.
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
    await searchAnew(installation, project, random);
    const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
    const idle = await searching(installation, random, pause(idleSeconds * 500));
    for (const { name, pid } of installation.state().processes) if (name.startsWith("worker")) process.kill(pid, "SIGUSR2");
    const ingest = installation.ingest([second, "--root", second, "--project", project]);
    const busy = await searching(installation, random, ingest);
    const { summary, seconds } = await ingest;
    await pause(settleMs);
    idle.push(...(await searching(installation, random, pause(idleSeconds * 500))));
    await installation.close();
    const [idleMs, busyMs] = [percentiles(idle), percentiles(busy)];
    return {
      ...{ searchesPerSecond, chunks: summary.chunks, chunksPerSecond: summary.chunks / seconds },
      ...{ idle: idleMs, busy: busyMs, searches: [idle.length, busy.length] },
      p95Ratio: busyMs.p95 / idleMs.p95,
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
    underWay.push(searchAnew(installation, project, random).then((ms) => times.push(ms)));
  }
  await Promise.all(underWay);
  return times;
}
