import { randomUUID } from "node:crypto";
import { DependencyError, dot } from "@millrace/core";
import type { MilvusClient } from "@zilliz/milvus2-sdk-node";
import { type IndexSettings, searchParametersOf, tunedLimit } from "./index-settings.ts";
import { call, connectMilvus, deadlines, type MilvusAddress } from "./milvus-client.ts";
import { ConsistencyLevelEnum, DataType } from "./milvus-sdk.ts";
import { loadCollection } from "./schema.ts";

/**
 * Measures indexes on a copy: the same vectors in a collection of their own, under each index in turn, searched one by one with vectors that are not among
 * them. What is right is computed here by brute force.
 */
interface SweepOptions {
  readonly address: MilvusAddress;
  /** Of unit length. */
  readonly vectors: readonly Float32Array[];
  readonly queries: readonly Float32Array[];
  /** Those with the same `type` and `build` one after the other share an index. */
  readonly candidates: readonly IndexSettings[];
  readonly onProgress?: (text: string) => void;
}

export interface SweepPoint {
  readonly settings: IndexSettings;
  /** Share of the k nearest that was returned, over all queries. */
  readonly recallAt10: number;
  readonly recallAt100: number;
  /** Of one search at a time, in milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** From the request for the index until it could be searched. */
  readonly buildMs: number;
}

const insertRows = 500;
const warmUpQueries = 10;
const pollMs = 250;

/** @throws DependencyError as the vector store; the copy is removed in any case */
export async function sweepIndexes(options: SweepOptions, signal: AbortSignal): Promise<SweepPoint[]> {
  const { vectors, queries, candidates, onProgress } = options;
  const client = await connectMilvus(options.address);
  const collection = `tune_${randomUUID().replaceAll("-", "")}`;
  try {
    const truth = queries.map((query) => nearest(query, vectors, 100));
    onProgress?.(`copying ${vectors.length} vectors`);
    await copy(client, collection, vectors, signal);
    const points: SweepPoint[] = [];
    let built: string | undefined;
    let buildMs = 0;
    for (const settings of candidates) {
      signal.throwIfAborted();
      const wanted = JSON.stringify([settings.type, settings.build]);
      if (wanted !== built) {
        onProgress?.(`building ${settings.type} ${JSON.stringify(settings.build)}`);
        if (built !== undefined) await dropIndex(client, collection);
        buildMs = await buildIndex(client, collection, settings, signal);
        built = wanted;
      }
      points.push({ settings, ...(await measure(client, collection, settings, queries, truth, signal)), buildMs });
    }
    return points;
  } finally {
    await call("drop the copy", deadlines.schemaMs, (timeout) => client.dropCollection({ collection_name: collection, timeout })).catch(
      () => undefined,
    );
    await client.closeConnection();
  }
}

async function copy(client: MilvusClient, collection: string, vectors: readonly Float32Array[], signal: AbortSignal): Promise<void> {
  const fields = [
    { name: "id", data_type: DataType.Int64, is_primary_key: true, autoID: false },
    { name: "dense", data_type: DataType.FloatVector, dim: vectors[0]?.length ?? 0 },
  ];
  await call("create the copy", deadlines.schemaMs, (timeout) => client.createCollection({ collection_name: collection, fields, timeout }));
  for (let from = 0; from < vectors.length; from += insertRows) {
    signal.throwIfAborted();
    const data = vectors.slice(from, from + insertRows).map((vector, index) => ({ id: from + index, dense: Array.from(vector) }));
    await call("fill the copy", deadlines.writeMs, (timeout) => client.insert({ collection_name: collection, data, timeout }));
  }
  // Rows that are still being collected are searched without the index.
  await call("flush the copy", deadlines.schemaMs, async (timeout) => ({
    status: (await client.flushSync({ collection_names: [collection], timeout })).status,
  }));
}

async function dropIndex(client: MilvusClient, collection: string): Promise<void> {
  await call("release the copy", deadlines.schemaMs, (timeout) => client.releaseCollection({ collection_name: collection, timeout }));
  await call("drop an index", deadlines.schemaMs, (timeout) =>
    client.dropIndex({ collection_name: collection, field_name: "dense", index_name: "dense", timeout }),
  );
}

/** Milliseconds until it could be searched. */
async function buildIndex(client: MilvusClient, collection: string, { type, build }: IndexSettings, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now();
  await call("create an index", deadlines.schemaMs, (timeout) =>
    client.createIndex({
      collection_name: collection,
      field_name: "dense",
      index_name: "dense",
      index_type: type,
      metric_type: "COSINE",
      params: build,
      timeout,
    }),
  );
  for (;;) {
    signal.throwIfAborted();
    const { index_descriptions } = await call("tell about an index", deadlines.readMs, (timeout) =>
      client.describeIndex({ collection_name: collection, field_name: "dense", timeout }),
    );
    const [index] = index_descriptions;
    if (index?.state === "Failed")
      throw new DependencyError("store.failed", `Milvus cannot build ${type}: ${index.index_state_fail_reason}`);
    if (index?.state === "Finished" && Number(index.pending_index_rows) <= 0) break;
    if (performance.now() - startedAt > deadlines.schemaMs)
      throw new DependencyError("store.timeout", `Milvus did not build ${type} within ${deadlines.schemaMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  await loadCollection(client, collection);
  return performance.now() - startedAt;
}

async function measure(
  client: MilvusClient,
  collection: string,
  settings: IndexSettings,
  queries: readonly Float32Array[],
  truth: readonly (readonly number[])[],
  signal: AbortSignal,
): Promise<Omit<SweepPoint, "settings" | "buildMs">> {
  const search = async (query: Float32Array): Promise<number[]> => {
    const { results } = await call("search the copy", deadlines.readMs, (timeout) =>
      client.search({
        collection_name: collection,
        anns_field: "dense",
        metric_type: "COSINE",
        data: Array.from(query),
        limit: tunedLimit,
        params: searchParametersOf(settings, tunedLimit),
        output_fields: ["id"],
        consistency_level: ConsistencyLevelEnum.Bounded,
        timeout,
      }),
    );
    return (results as readonly { readonly id: string }[]).map(({ id }) => Number(id));
  };
  for (const query of queries.slice(0, warmUpQueries)) await search(query);
  const times: number[] = [];
  let [at10, at100] = [0, 0];
  for (const [index, query] of queries.entries()) {
    signal.throwIfAborted();
    const startedAt = performance.now();
    const found = await search(query);
    times.push(performance.now() - startedAt);
    at10 += share(truth[index] ?? [], found, 10);
    at100 += share(truth[index] ?? [], found, 100);
  }
  times.sort((a, b) => a - b);
  const quantile = (part: number): number => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? Number.NaN;
  return { recallAt10: at10 / queries.length, recallAt100: at100 / queries.length, p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

/** Of the first k that are right, how many are among the first k found. */
function share(right: readonly number[], found: readonly number[], k: number): number {
  const first = new Set(found.slice(0, k));
  const wanted = right.slice(0, k);
  return wanted.filter((id) => first.has(id)).length / wanted.length;
}

/** Indexes of the k vectors with the greatest dot product, greatest first. */
function nearest(query: Float32Array, vectors: readonly Float32Array[], k: number): number[] {
  const scores = Float64Array.from(vectors, (vector) => dot(vector, query));
  return [...vectors.keys()].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0)).slice(0, k);
}
