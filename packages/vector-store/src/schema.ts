import { analysisVersion, bm25Parameters, ConfigError, DependencyError, type EmbeddingSpace, limits } from "@millrace/core";
import type { FieldType, MilvusClient } from "@zilliz/milvus2-sdk-node";
import type { IndexSettings } from "./index-settings.ts";
import { call, deadlines, milvusCodeOf, milvusCodes } from "./milvus-client.ts";
import { DataType, FunctionType, LoadState } from "./milvus-sdk.ts";

/**
 * One collection per embedding space, so that vectors that may not be compared never meet. Beside the text of a chunk stand
 * the terms that it is found by: the core analyses texts, and the analyzer of Milvus only takes them apart again.
 * VARCHAR lengths are bytes of UTF-8 on Milvus and characters on Lite: records are checked in bytes before they get here.
 */
export interface CollectionNames {
  readonly collection: string;
  /** Points at the collection of the space in use, for people and tools that look into Milvus. */
  readonly alias: string;
}

export function collectionNamesOf(prefix: string, space: EmbeddingSpace): CollectionNames {
  return { collection: `${prefix}_${space.fingerprint.replace(/[^A-Za-z0-9_]/g, "_")}`, alias: `${prefix}_active` };
}

/**
 * Creates what is missing of the collection, its indexes and its alias, and loads it. May be repeated; on Lite only by one
 * process at a time.
 * @throws ConfigError `store.space_mismatch` when a collection of this name holds other vectors
 */
export async function ensureCollection(
  client: MilvusClient,
  names: CollectionNames,
  space: EmbeddingSpace,
  /** Of the vectors; Lite has none. */
  settings: IndexSettings | "lite",
): Promise<void> {
  const lite = settings === "lite";
  const { collection } = names;
  const found = await describe(client, collection);
  if (found === undefined) await create(client, collection, space, lite);
  else assertSameSpace(found, collection, space);
  const indexed = await indexedFields(client, collection);
  if (lite && indexed.has(vectorField)) await dropVectorIndex(client, collection); // earlier versions made one, by cosine
  for (const index of indexes(settings)) if (!indexed.has(index.field_name)) await createIndex(client, collection, index);
  await loadCollection(client, collection);
  await pointAlias(client, names);
}

/** Builds the index over the vectors anew. Until it resolves the collection cannot be searched. */
export async function rebuildVectorIndex(client: MilvusClient, collection: string, settings: IndexSettings): Promise<void> {
  await dropVectorIndex(client, collection);
  await createIndex(client, collection, vectorIndex(settings));
  await loadCollection(client, collection);
}

async function dropVectorIndex(client: MilvusClient, collection: string): Promise<void> {
  await call("release the collection", deadlines.schemaMs, (timeout) => client.releaseCollection({ collection_name: collection, timeout }));
  await call("drop an index", deadlines.schemaMs, (timeout) =>
    client.dropIndex({ collection_name: collection, field_name: vectorField, index_name: vectorField, timeout }),
  );
}

/** Resolves when the collection can be searched. Lite forgets after a restart that a collection was loaded. */
export async function loadCollection(client: MilvusClient, collection: string): Promise<void> {
  await call("load the collection", deadlines.schemaMs, (timeout) => client.loadCollectionAsync({ collection_name: collection, timeout }));
  const giveUpAt = performance.now() + deadlines.schemaMs;
  for (;;) {
    const { state } = await call("tell the load state", deadlines.readMs, (timeout) =>
      client.getLoadState({ collection_name: collection, timeout }),
    );
    if (state === LoadState.LoadStateLoaded) return;
    if (performance.now() > giveUpAt) {
      throw new DependencyError("store.timeout", `The collection "${collection}" is still ${state} after ${deadlines.schemaMs} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Raised when rows of the old layout could not be read by new code: another number is another space. */
const schemaVersion = `3.${analysisVersion}`;
/** Lite keeps properties but not descriptions; Milvus keeps descriptions but knows its own properties only. */
const spaceProperty = "millrace.space";

const vectorField = "dense";

/**
 * By what Milvus compares vectors. They have length 1, so that their product is their cosine; Lite computes the length of every one for every search by cosine,
 * which takes as long as the search.
 */
export function vectorMetric(lite: boolean): string {
  return lite ? "IP" : "COSINE";
}

function varchar(name: string, bytesMax: number, more: Partial<FieldType> = {}): FieldType {
  return { name, data_type: DataType.VarChar, max_length: bytesMax, ...more };
}

function fields(dimension: number): FieldType[] {
  return [
    varchar("chunk_id", 64, { is_primary_key: true, autoID: false }),
    varchar("project", 63, { is_partition_key: true }),
    varchar("document_id", 64),
    varchar("generation", 64),
    varchar("source", limits.sourceBytesMax),
    varchar("media_type", 255),
    // A UTF-16 unit is at most 3 bytes of UTF-8.
    varchar("title", limits.titleCharsMax * 3),
    { name: "ingested_at", data_type: DataType.Int64 },
    { name: "ordinal", data_type: DataType.Int32 },
    varchar("text", limits.chunkBytesMax),
    varchar("terms", limits.chunkBytesMax, { enable_analyzer: true, analyzer_params: { tokenizer: "standard" } }),
    { name: "span_start", data_type: DataType.Int32 },
    { name: "span_end", data_type: DataType.Int32 },
    { name: "page", data_type: DataType.Int32 },
    // JSON and not an array, whose elements would each have a length limit; headings are only given back.
    { name: "headings", data_type: DataType.JSON },
    { name: "tokens", data_type: DataType.Int32 },
    { name: "metadata", data_type: DataType.JSON },
    { name: "dense", data_type: DataType.FloatVector, dim: dimension },
    { name: "sparse", data_type: DataType.SparseFloatVector },
  ];
}

/** What the SDK wants to know of an index. */
interface Index {
  readonly field_name: string;
  readonly index_type: string;
  readonly metric_type?: string;
  readonly params?: Readonly<Record<string, string | number>>;
}

async function createIndex(client: MilvusClient, collection: string, index: Index): Promise<void> {
  await call("create an index", deadlines.schemaMs, (timeout) =>
    client.createIndex({ collection_name: collection, index_name: index.field_name, ...index, timeout }),
  );
}

function vectorIndex({ type, build }: IndexSettings): Index {
  return { field_name: vectorField, index_type: type, metric_type: vectorMetric(false), params: build };
}

function indexes(settings: IndexSettings | "lite"): Index[] {
  const lite = settings === "lite";
  return [
    // Lite's cost is Python per row whatever the index. Without one it compares with every vector, which is exact, and does not keep the vectors twice.
    ...(lite ? [] : [vectorIndex(settings)]),
    {
      field_name: "sparse",
      index_type: "SPARSE_INVERTED_INDEX",
      metric_type: "BM25",
      params: { inverted_index_algo: lite ? "TAAT_NAIVE" : "DAAT_MAXSCORE", bm25_k1: bm25Parameters.k1, bm25_b: bm25Parameters.b },
    },
    // Lite uses these only when every field of an expression has one, as in a search without a filter.
    { field_name: "project", index_type: "INVERTED" },
    { field_name: "document_id", index_type: "INVERTED" },
  ];
}

async function create(client: MilvusClient, collection: string, space: EmbeddingSpace, lite: boolean): Promise<void> {
  const tag = JSON.stringify({ schema: schemaVersion, model: space.modelId, fingerprint: space.fingerprint });
  await call("create the collection", deadlines.schemaMs, (timeout) =>
    client.createCollection({
      collection_name: collection,
      description: tag,
      ...(lite ? { properties: { [spaceProperty]: tag } } : {}),
      fields: fields(space.dimension),
      functions: [
        { name: "terms_bm25", type: FunctionType.BM25, input_field_names: ["terms"], output_field_names: ["sparse"], params: {} },
      ],
      timeout,
    }),
  );
}

interface Found {
  readonly dimension: number;
  readonly tag: string;
}

async function describe(client: MilvusClient, collection: string): Promise<Found | undefined> {
  try {
    const { schema, properties } = await call("describe the collection", deadlines.readMs, (timeout) =>
      client.describeCollection({ collection_name: collection, timeout }),
    );
    const property = properties.find(({ key }) => key === spaceProperty)?.value;
    return {
      dimension: Number(schema.fields.find(({ name }) => name === "dense")?.dim ?? 0),
      tag: String(property ?? schema.description),
    };
  } catch (error) {
    if (milvusCodeOf(error) === milvusCodes.collectionNotFound) return undefined;
    throw error;
  }
}

function assertSameSpace(found: Found, collection: string, space: EmbeddingSpace): void {
  const expected = { schema: schemaVersion, fingerprint: space.fingerprint };
  const tag = parseTag(found.tag);
  if (found.dimension === space.dimension && tag.schema === expected.schema && tag.fingerprint === expected.fingerprint) return;
  throw new ConfigError(
    "store.space_mismatch",
    `The collection "${collection}" holds ${found.dimension} dimensions of ${tag.fingerprint ?? "an unknown model"} (schema ${tag.schema ?? "unknown"}); ` +
      `this configuration needs ${space.dimension} of ${space.fingerprint} (schema ${schemaVersion})`,
    { hint: `Configure the model it was made with, or drop the collection "${collection}" and ingest the documents again.` },
  );
}

function parseTag(text: string): { readonly schema?: unknown; readonly fingerprint?: unknown } {
  try {
    const tag: unknown = JSON.parse(text);
    return typeof tag === "object" && tag !== null ? tag : {};
  } catch {
    return {}; // made by somebody else
  }
}

async function indexedFields(client: MilvusClient, collection: string): Promise<ReadonlySet<string>> {
  try {
    const { index_descriptions } = await call("list the indexes", deadlines.readMs, (timeout) =>
      client.describeIndex({ collection_name: collection, timeout }),
    );
    return new Set(index_descriptions.map(({ field_name }) => field_name));
  } catch (error) {
    if (milvusCodeOf(error) === milvusCodes.indexNotFound) return new Set();
    throw error;
  }
}

async function pointAlias(client: MilvusClient, { collection, alias }: CollectionNames): Promise<void> {
  const request = { collection_name: collection, alias };
  const current = await aliasTarget(client, request);
  if (current === collection) return;
  await call("set the alias", deadlines.schemaMs, (timeout) =>
    current === undefined ? client.createAlias({ ...request, timeout }) : client.alterAlias({ ...request, timeout }),
  );
}

async function aliasTarget(client: MilvusClient, request: { collection_name: string; alias: string }): Promise<string | undefined> {
  try {
    return (await call("describe the alias", deadlines.readMs, (timeout) => client.describeAlias({ ...request, timeout }))).collection;
  } catch (error) {
    // Lite says "collection not found" for an alias that does not exist.
    const code = milvusCodeOf(error);
    if (code === milvusCodes.aliasNotFound || code === milvusCodes.collectionNotFound) return undefined;
    throw error;
  }
}
