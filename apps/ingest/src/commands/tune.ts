import { writeFile } from "node:fs/promises";
import { chunkIdsOf, InvalidInputError } from "@millrace/core";
import { loadConfig } from "@millrace/runtime";
import { defaultIndexSettings, type MilvusVectorStore, type SweepPoint, sweepIndexes } from "@millrace/vector-store";
import { type Command, InvalidArgumentError } from "commander";
import { integerBetween } from "../option-values.ts";
import { openSession, type Session } from "../session.ts";
import { openStore, storeAddress } from "../store.ts";
import { note, print, printJson, table } from "../terminal.ts";
import { buildText, candidatesFor, choose, searchText } from "../tune/candidates.ts";
import { recallPlot } from "../tune/recall-plot.ts";

interface TuneOptions {
  readonly rows: number;
  readonly queries: number;
  readonly recall: number;
  readonly plot: string;
  readonly apply: boolean;
  readonly anyway: boolean;
  readonly json: boolean;
}

const aboutLite = `Milvus Lite: nothing to tune. It compares a query with every vector, so recall is 1; its time goes into Python per row, whatever the index.
M, ef, nlist and nprobe can be tuned on a Milvus: set MILVUS_ADDRESS. Until then, fewer rows and the cache are what makes searches faster.`;
/** Milvus builds no index over fewer rows. */
const rowsMin = 2_000;
const documentsPerDraw = 500;
const rowsPerRead = 250;

export function addTuneCommand(program: Command): void {
  program
    .command("tune")
    .description("Measure recall against latency of several indexes on a copy of the vectors, and apply the best.")
    .option("--rows <n>", "vectors to copy", integerBetween(rowsMin, 200_000), 20_000)
    .option("--queries <n>", "vectors to search with, which are not among the copied", integerBetween(10, 1_000), 200)
    .option("--recall <share>", "recall@100 that the choice must reach", share, 0.95)
    .option("--plot <file>", "where to draw recall against latency, as SVG", "millrace-tune.svg")
    .option("--apply", "search with the choice from now on; where it needs another index, searches fail until that is built", false)
    .option("--anyway", "on Milvus Lite measure all the same, to see what an index gives and costs", false)
    .option("--json", "one JSON object per line, the choice last", false)
    .action(async (options: TuneOptions) => {
      process.exitCode = await tune(options);
    });
}

/** Answers with the exit code. */
async function tune(options: TuneOptions): Promise<number> {
  const config = loadConfig();
  const session = await openSession(config);
  const store = await openStore(config, session);
  const signal = new AbortController().signal;
  try {
    const current = await store.indexSettings(signal);
    if (current === undefined && options.apply) await store.applyIndexSettings(defaultIndexSettings, signal); // throws what there is to say
    if (current === undefined && !options.anyway) {
      print(aboutLite);
      return 0;
    }
    const vectors = await drawVectors(session, store, options.rows + options.queries, signal);
    const queries = vectors.splice(0, options.queries);
    if (vectors.length < rowsMin) {
      throw new InvalidInputError("tune.too_few", `There are ${vectors.length} vectors, and an index pays off beyond ${rowsMin}`, {
        hint: "Ingest more first.",
      });
    }
    const onProgress = options.json ? () => undefined : note;
    const points = await sweepIndexes(
      { address: await storeAddress(config), vectors, queries, candidates: candidatesFor(vectors.length), onProgress },
      signal,
    );
    const chosen = choose(points, options.recall);
    await writeFile(options.plot, recallPlot(points, chosen));
    report(points, chosen, current === undefined ? "none" : `${buildText(current)} ${searchText(current)}`, options);
    if (chosen === undefined) return 1;
    if (options.apply) {
      await store.applyIndexSettings(chosen.settings, signal);
      note(`Applied: ${buildText(chosen.settings)}, ${searchText(chosen.settings)}. Every process searches with it within 10 s.`);
    }
    return 0;
  } finally {
    await store.close();
    await session.close();
  }
}

/** Vectors of live chunks, of documents of all projects in this space drawn by lot. */
async function drawVectors({ ledger }: Session, store: MilvusVectorStore, count: number, signal: AbortSignal): Promise<Float32Array[]> {
  const found = new Map<string, Float32Array>();
  for (const project of await ledger.projects()) {
    // A draw may give documents again; one without any that are new ends it.
    for (let before = -1; before < found.size && found.size < count; ) {
      before = found.size;
      const documents = await ledger.sampleLive(project, documentsPerDraw);
      const chunkIds = documents
        .flatMap(({ documentId, liveGeneration, liveChunks }) => chunkIdsOf(project, documentId, liveGeneration ?? "", liveChunks))
        .filter((chunkId) => !found.has(chunkId));
      for (let from = 0; from < chunkIds.length && found.size < count; from += rowsPerRead) {
        for (const { chunkId, vector } of await store.vectors(project, chunkIds.slice(from, from + rowsPerRead), signal))
          found.set(chunkId, vector);
      }
    }
  }
  // Neighbours in the map are of one document: what is searched with should not all be of the first.
  return [...found.values()].sort(() => Math.random() - 0.5).slice(0, count);
}

function report(
  points: readonly SweepPoint[],
  chosen: SweepPoint | undefined,
  current: string,
  { json, recall, plot, apply }: TuneOptions,
): void {
  const name = ({ settings }: SweepPoint): string => `${buildText(settings)} ${searchText(settings)}`;
  if (json) {
    for (const { settings, recallAt10, recallAt100, p50Ms, p99Ms, buildMs } of points) {
      printJson({
        event: "point",
        ...settings,
        recall_at_10: recallAt10,
        recall_at_100: recallAt100,
        p50_ms: p50Ms,
        p99_ms: p99Ms,
        build_ms: buildMs,
      });
    }
    printJson({ event: "choice", ...(chosen?.settings ?? { type: null }), plot });
    return;
  }
  const rows = points.map((point) => [
    point === chosen ? "*" : name(point) === current ? "now" : "",
    buildText(point.settings),
    searchText(point.settings),
    Number(point.recallAt10.toFixed(4)),
    Number(point.recallAt100.toFixed(4)),
    Number(point.p50Ms.toFixed(2)),
    Number(point.p99Ms.toFixed(2)),
    Math.round(point.buildMs),
  ]);
  print(table(["", "index", "search", "recall@10", "recall@100", "p50 ms", "p99 ms", "build ms"], rows));
  note(`Plot: ${plot}`);
  if (chosen === undefined) note(`None reaches a recall@100 of ${recall}.`);
  else if (!apply) note(`Fastest with recall@100 ≥ ${recall}: ${name(chosen)}. Now: ${current}. --apply takes it.`);
}

function share(value: string): number {
  const number = Number(value);
  if (!(number > 0 && number <= 1)) throw new InvalidArgumentError("It must be a number above 0, up to 1.");
  return number;
}
