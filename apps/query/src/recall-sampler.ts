import { setTimeout as delay } from "node:timers/promises";
import {
  chunkIdsOf,
  dot,
  errorMessage,
  type ProjectName,
  type RowVector,
  type StoredHit,
  type StoreSearch,
  type VectorStore,
} from "@millrace/core";
import type { Ledger } from "@millrace/ledger";
import type { Logger } from "@millrace/runtime";

/**
 * How much of the exact answer the index really returns, measured on the searches that users make. A share of them is answered once more by brute force, in
 * the background, over a sample of the project's rows: of the sampled rows that are nearer than the k-th hit, the index should have returned all. A
 * project that fits the sample gives the recall itself, a larger one an estimate from fewer rows, which takes the more searches the larger it is.
 */
export interface RecallSamplerOptions {
  readonly ledger: Pick<Ledger, "sampleLive">;
  readonly store: Pick<VectorStore, "vectors" | "existing">;
  readonly logger: Logger;
  /** Of the searches, 0 to 1. */
  readonly share: number;
  readonly random?: () => number;
}

/** How many of the rows that were nearer than the k-th hit were returned. */
export interface RecallCounts {
  expected: number;
  returned: number;
}

/** The first hits of a search that are looked at; those of hybrid searches have 100 and more. */
const depths = [10, 100] as const;
/** Rows of a sample: 3 MB of numbers at 384 dimensions, some 5 ms to compare with a query. */
const sampleRowsMax = 2_000;
const sampleDocumentsMax = 500;
const sampleLifeMs = 600_000;
const samplesMax = 16;
/** Rows compared before others get their turn. */
const rowsPerSlice = 250;
/** Rows with their vectors per read of the store: some 25 ms of Milvus Lite, which does one thing at a time. */
const rowsPerRead = 50;
/** After each read the store is left to those who wait for an answer, for so many times as long as the read took. */
const pauseFactor = 4;
/** Arithmetic differs in its last digits between here and there: a row this near to the last hit might be on either side. */
const scoreTolerance = 1e-4;
const timeoutMs = 30_000;

interface Sample {
  readonly rows: readonly RowVector[];
  readonly until: number;
}

export class RecallSampler {
  /** By the number of hits looked at. */
  readonly counts: ReadonlyMap<number, RecallCounts> = new Map(depths.map((depth) => [depth, { expected: 0, returned: 0 }]));
  /** Searches that were answered exactly as well. */
  checked = 0;
  readonly #options: RecallSamplerOptions;
  readonly #samples = new Map<ProjectName, Sample>();
  #busy = false;

  constructor(options: RecallSamplerOptions) {
    this.#options = options;
  }

  /** To be told of every vector search and its hits, best first; nobody waits for it. One at a time is looked into, and none with a filter. */
  async observe(search: StoreSearch, hits: readonly StoredHit[]): Promise<void> {
    const { share, random = Math.random, logger } = this.#options;
    if (share === 0 || this.#busy || search.filter !== undefined || hits.length === 0 || random() >= share) return;
    this.#busy = true;
    try {
      await this.#check(search, hits);
    } catch (error) {
      logger.warn({ reason: errorMessage(error) }, "recall.not_estimated");
    } finally {
      this.#busy = false;
    }
  }

  async #check({ project, vector }: StoreSearch, hits: readonly StoredHit[]): Promise<void> {
    const rows = await this.#sample(project);
    const scores: number[] = [];
    for (const [index, row] of rows.entries()) {
      if (index % rowsPerSlice === rowsPerSlice - 1) await new Promise((resolve) => setImmediate(resolve));
      scores.push(dot(row.vector, vector));
    }
    const found = new Set(hits.map(({ chunkId }) => chunkId));
    const deepest = Math.min(hits.length, Math.max(...depths));
    const missing = rows
      .filter(({ chunkId }, index) => (scores[index] ?? 0) > bar(hits, deepest) && !found.has(chunkId))
      .map(({ chunkId }) => chunkId);
    // A row of a version that was replaced since it was drawn is no loss.
    const lost = await this.#options.store.existing(project, missing, AbortSignal.timeout(timeoutMs));
    for (const [depth, counts] of this.counts) {
      if (hits.length < depth) continue;
      const first = new Set(hits.slice(0, depth).map(({ chunkId }) => chunkId));
      for (const [index, { chunkId }] of rows.entries()) {
        if ((scores[index] ?? 0) <= bar(hits, depth)) continue;
        if (first.has(chunkId)) counts.returned++;
        if (first.has(chunkId) || lost.has(chunkId)) counts.expected++;
      }
    }
    this.checked++;
  }

  async #sample(project: ProjectName): Promise<readonly RowVector[]> {
    const known = this.#samples.get(project);
    if (known !== undefined && known.until > performance.now()) return known.rows;
    const { ledger, store, random = Math.random } = this.#options;
    const chunkIds = (await ledger.sampleLive(project, sampleDocumentsMax)).flatMap(({ documentId, liveGeneration, liveChunks }) =>
      chunkIdsOf(project, documentId, liveGeneration ?? "", liveChunks),
    );
    const drawn = shuffled(chunkIds, random).slice(0, sampleRowsMax);
    const rows: RowVector[] = [];
    for (let from = 0; from < drawn.length; from += rowsPerRead) {
      const since = performance.now();
      rows.push(...(await store.vectors(project, drawn.slice(from, from + rowsPerRead), AbortSignal.timeout(timeoutMs))));
      await delay((performance.now() - since) * pauseFactor);
    }
    if (this.#samples.size >= samplesMax) this.#samples.clear();
    this.#samples.set(project, { rows, until: performance.now() + sampleLifeMs });
    return rows;
  }
}

/** What a row's score must exceed to belong before the last of so many hits. */
function bar(hits: readonly StoredHit[], depth: number): number {
  return (hits[depth - 1]?.score ?? Number.POSITIVE_INFINITY) + scoreTolerance;
}

/** Fisher and Yates. */
function shuffled<T>(items: T[], random: () => number): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [items[last], items[other]] = [items[other] as T, items[last] as T];
  }
  return items;
}
