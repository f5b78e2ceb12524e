import {
  type ChunkRecord,
  ConfigError,
  checkVector,
  DependencyError,
  type EmbeddingSpace,
  isMillraceError,
  limits,
  type ProjectName,
  queryTermsOf,
  type RowIdentity,
  type RowVector,
  type StoredChunk,
  type StoredHit,
  type StoreKeywordSearch,
  type StoreSearch,
  type VectorStore,
} from "@millrace/core";
import { type BatchCounts, Batcher } from "@millrace/runtime";
import type { MilvusClient, MutationResult } from "@zilliz/milvus2-sdk-node";
import type { Redis } from "ioredis";
import { columnsOf } from "./columns.ts";
import { keyRangeExpression, keysExpression, searchExpression } from "./filter-expression.ts";
import { defaultIndexSettings, type IndexSettings, readIndexSettings, searchParametersOf, writeIndexSettings } from "./index-settings.ts";
import { LiteFlush } from "./lite-flush.ts";
import { call, connectMilvus, deadlines, type MilvusAddress, milvusCodeOf, milvusCodes } from "./milvus-client.ts";
import { ConsistencyLevelEnum, promisify } from "./milvus-sdk.ts";
import { Pulse } from "./pulse.ts";
import { raceAbort } from "./race-abort.ts";
import { outputFields, type Row, rowBytes, toChunk, toHit, toRow } from "./row.ts";
import { type CollectionNames, collectionNamesOf, ensureCollection, loadCollection, rebuildVectorIndex, vectorMetric } from "./schema.ts";
import { searchLingerMs } from "./search-linger.ts";
import { SearchSign } from "./search-sign.ts";
import { openLane, RedisWriterLane, type WriterLane } from "./writer-lane.ts";

/**
 * Chunks in Milvus or Milvus Lite; which of the two is found out on connecting. The connection and the collection are
 * made on first use and again after a failure, so a store can be created before Milvus is up, and Milvus may be
 * restarted under it: calls in between fail with a DependencyError.
 *
 * Consistency: searches read with Bounded staleness. A document becomes visible by the ledger's switch, which comes after
 * `existing` has read its rows with Strong consistency, and a Milvus node that has answered such a read has the rows.
 */
export interface MilvusVectorStoreOptions extends MilvusAddress {
  readonly space: EmbeddingSpace;
  /** For the writers' lock, without which Milvus Lite is not used, and for the settings of the index on Milvus. */
  readonly redis?: Redis;
  /** The lock's key; the same for all writers to one Milvus Lite. */
  readonly laneKey?: string;
  /** Collections are named `<prefix>_<fingerprint>`. */
  readonly collectionPrefix?: string;
  /** Whether vectors are being made to search by: searches that wait for Milvus then wait for those, and go with them in one request. */
  readonly isMoreComing?: () => boolean;
  /**
   * How long after the last write others wait for company, in milliseconds; asked, with their number, whenever one comes and when the time is over. For who writes many small
   * documents, since a write costs both sides more than the rows in it. Default 0.
   */
  readonly writeLingerMs?: (waiting: number) => number;
  /** Is told of every search by vector and its hits, and must not throw. */
  readonly onSearch?: (request: StoreSearch, hits: readonly StoredHit[]) => void;
}

interface Session {
  readonly client: MilvusClient;
  readonly lane: WriterLane;
  /** On Milvus Lite only. */
  readonly liteFlush: LiteFlush | undefined;
  /** Undefined on Milvus Lite. */
  index: IndexSettings | undefined;
  indexReadAt: number;
}

const keyFields = ["chunk_id", "project"];
/** One search by vector or by words, as the SDK names its parts. */
interface StoreSearchBy extends Omit<StoreSearch, "vector"> {
  readonly anns_field: "dense" | "sparse";
  readonly data: readonly number[] | string;
}

type SearchRow = Row & { readonly score: number };

/** Rows that fit into one write. */
interface RowBatch {
  readonly rows: readonly Row[];
  readonly bytes: number;
}

/** Rows with their vectors per read: some 600 KB of numbers, which the SDK decodes on the event loop. */
const vectorsPerCallMax = 250;
/** Rows per read of a scan. Milvus gives 16,384 at most. */
const scanRowsMax = 8_192;

/**
 * Searches of one process in flight at most on Milvus Lite, whose ten threads share one interpreter: more of them are no faster together, and with all
 * threads taken not even a sign of life gets through.
 */
const liteRequestsMax = 3;
/** A search waits no longer for a connection, which goes on being made. */
const searchConnectMsMax = 300;
/** How long it takes at most until every process has seen new settings of the index. */
const indexSettingsMs = 10_000;
/** Keys per read or delete: an expression of some 45 KB. */
const keysPerCallMax = 1_000;

export class MilvusVectorStore implements VectorStore {
  readonly #options: MilvusVectorStoreOptions;
  readonly #names: CollectionNames;
  /** Milvus Lite spends nearly all of a search on what searches of one kind can share, and one request at a time lets the next fill. */
  readonly #searches: Batcher<StoreSearchBy, SearchRow[]>;
  /** One at a time: what comes meanwhile goes together. */
  readonly #writes: Batcher<RowBatch, undefined>;
  readonly #lookups: Batcher<readonly string[], ReadonlyMap<string, string>>;
  #session: Promise<Session> | undefined;
  readonly #pulse = new Pulse();
  /** It was silent, and no connection was made since. */
  #away = false;
  #isLite = false;
  /** On Milvus Lite only. */
  #searchSign: SearchSign | undefined;

  constructor(options: MilvusVectorStoreOptions) {
    this.#options = options;
    this.#names = collectionNamesOf(options.collectionPrefix ?? "chunks", options.space);
    this.#searches = new Batcher({
      send: (searches) => this.#searchTogether(searches),
      kindOf: kindOfSearch,
      sizeMax: limits.queriesPerBatchMax,
      inFlightMax: 1,
      lingerMs: (last, { anns_field }) => searchLingerMs(last, () => anns_field === "dense" && options.isMoreComing?.() === true),
      inFlightAllMax: () => (this.#isLite ? liteRequestsMax : Number.POSITIVE_INFINITY),
    });
    this.#writes = new Batcher({
      send: (asked) => this.#write(asked),
      sizeOf: ({ rows, bytes }) => Math.max(rows.length / limits.storeBatchRowsMax, bytes / limits.storeBatchBytesMax),
      sizeMax: 1,
      inFlightMax: 1,
      lingerMs: ({ agoMs }, _first, waiting) => Math.max(0, (options.writeLingerMs?.(waiting) ?? 0) - agoMs),
      // A row that the server does not take must not keep others out.
      isOneToBlame: (error) => isMillraceError(error) && error.code === "store.failed",
    });
    this.#lookups = new Batcher({
      send: (asked) => this.#lookUp(asked),
      sizeOf: (chunkIds) => chunkIds.length,
      sizeMax: keysPerCallMax,
      inFlightMax: 1,
    });
  }

  /** How many searches went out in how many requests. */
  get searchCounts(): Readonly<BatchCounts> {
    return this.#searches.counts;
  }

  /**
   * Connects and makes the collection ready, which every other call does by itself where needed.
   * @throws DependencyError `store.unavailable`, `store.timeout`, `store.failed`
   * @throws ConfigError `store.space_mismatch` (the collection holds another model's vectors), `store.lane_missing`
   */
  async start(signal: AbortSignal): Promise<void> {
    await raceAbort(this.#connected(), signal);
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    // A session that never came about has closed its own connection.
    const { client, liteFlush } = (await session?.catch(() => undefined)) ?? {};
    await liteFlush?.close();
    await client?.closeConnection();
  }

  /**
   * Resolves when a read goes through.
   * @throws DependencyError, ConfigError as `start`
   */
  async ready(signal: AbortSignal): Promise<void> {
    const session = await raceAbort(this.#connected(), signal);
    await raceAbort(this.#query(session, ["-"], keyFields), signal);
  }

  async upsert(records: readonly ChunkRecord[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    for (const batch of batches(records, this.#options.space.dimension)) await this.#writes.ask(batch, signal);
  }

  async #write(asked: readonly RowBatch[]): Promise<undefined[]> {
    const { client, lane, liteFlush } = await this.#connected();
    const rows = asked.flatMap((batch) => batch.rows);
    const write = async (): Promise<void> => {
      const request = {
        collection_name: this.#names.collection,
        num_rows: rows.length,
        fields_data: columnsOf(rows, this.#options.space.dimension),
        ...unlogged,
      };
      await this.#call<MutationResult>("upsert", deadlines.writeMs, (timeout) => promisify(client.channelPool, "Upsert", request, timeout));
      await liteFlush?.wrote(asked.reduce((sum, { bytes }) => sum + bytes, 0));
    };
    // Of several callers, who each give up by their own signal.
    await lane.run(write, new AbortController().signal);
    return asked.map(() => undefined);
  }

  async existing(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for (const keys of slices(chunkIds, keysPerCallMax)) {
      const projects = await this.#lookups.ask(keys, signal);
      for (const key of keys) if (projects.get(key) === project) found.add(key);
    }
    return found;
  }

  /** @returns for each of those who asked the projects of all keys that are there */
  async #lookUp(asked: readonly (readonly string[])[]): Promise<ReadonlyMap<string, string>[]> {
    const rows = await this.#query(await this.#connected(), asked.flat(), keyFields);
    const projects = new Map(rows.map((row) => [String(row["chunk_id"]), String(row["project"])]));
    return asked.map(() => projects);
  }

  /** As `search`, it and `vectors` fail within a second where Milvus is silent: an answer may wait for them. */
  async read(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<StoredChunk[]> {
    const session = await raceAbort(this.#connected(), signal);
    const found: StoredChunk[] = [];
    for (const keys of slices(chunkIds, vectorsPerCallMax)) {
      for (const row of await raceAbort(this.#unlessSilent(session, this.#query(session, keys, outputFields)), signal)) {
        if (row["project"] === project) found.push(toChunk(row as unknown as Row, project));
      }
    }
    return found;
  }

  async vectors(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<RowVector[]> {
    const session = await raceAbort(this.#connected(), signal);
    const found: RowVector[] = [];
    for (const keys of slices(chunkIds, vectorsPerCallMax)) {
      const read = this.#query(session, keys, [...keyFields, "title", "headings", "text", "dense"]);
      for (const row of await raceAbort(this.#unlessSilent(session, read), signal)) {
        if (row["project"] !== project) continue;
        const vector = Float32Array.from(row["dense"] as number[]);
        const [title, headings] = [String(row["title"]), row["headings"] as string[]];
        found.push({ chunkId: String(row["chunk_id"]), title, headings, text: String(row["text"]), vector });
      }
    }
    return found;
  }

  /**
   * Keys are hashes, so equal ranges of them hold about equally many rows: the range is halved until a part fits one read. (Iterators and
   * offsets of Milvus Lite give some rows twice and others never.)
   */
  async *scan(project: ProjectName, signal: AbortSignal): AsyncGenerator<RowIdentity[]> {
    const session = await raceAbort(this.#connected(), signal);
    const prefixes = [""];
    for (let prefix = prefixes.pop(); prefix !== undefined; prefix = prefixes.pop()) {
      const filter = keyRangeExpression(project, prefix);
      const rows = await raceAbort(
        this.#queryBy(session, "read a range of keys", filter, [...keyFields, "document_id", "generation", "ordinal"], scanRowsMax),
        signal,
      );
      if (rows.length < scanRowsMax) {
        yield rows.map((row) => ({
          chunkId: String(row["chunk_id"]),
          documentId: String(row["document_id"]),
          generation: String(row["generation"]),
          ordinal: Number(row["ordinal"]),
        }));
      } else {
        for (const digit of "0123456789abcdef") prefixes.push(prefix + digit);
      }
    }
  }

  /** @throws DependencyError as the others, within a second where Milvus is silent: somebody waits for the answer */
  async search(request: StoreSearch, signal: AbortSignal): Promise<StoredHit[]> {
    const vector = Array.from(checkVector(request.vector, this.#options.space.dimension));
    const rows = await this.#searches.ask({ ...request, anns_field: "dense", data: vector }, signal);
    const hits = rows.map((row) => toHit(row, request.project));
    this.#options.onSearch?.(request, hits);
    return hits;
  }

  async searchKeywords(request: StoreKeywordSearch, signal: AbortSignal): Promise<StoredHit[]> {
    signal.throwIfAborted();
    const terms = queryTermsOf(request.text);
    if (terms.length === 0) return [];
    // Lite gives the negative of the score.
    const rows = await this.#searches.ask({ ...request, anns_field: "sparse", data: terms.join(" ") }, signal);
    return rows.map((row) => toHit({ ...row, score: Math.abs(row.score) }, request.project));
  }

  /**
   * Searches of one kind, in one request. Each is cut back to its own limit: the nearest of more are the nearest of fewer, too, as HNSW looks at no fewer
   * candidates for a larger limit.
   */
  async #searchTogether(searches: readonly StoreSearchBy[]): Promise<SearchRow[][]> {
    const session = await this.#connectedSoon();
    const [first] = searches;
    if (first === undefined) return [];
    const limit = Math.max(...searches.map((search) => search.limit));
    this.#searchSign?.raise();
    if (session.index !== undefined && performance.now() - session.indexReadAt > indexSettingsMs) this.#readIndexSettings(session);
    const search = {
      collection_name: this.#names.collection,
      anns_field: first.anns_field,
      // Lite does not infer it from the index.
      metric_type: first.anns_field === "sparse" ? "BM25" : vectorMetric(session.index === undefined),
      data: searches.map(({ data }) => data) as number[][],
      limit,
      filter: searchExpression(first.project, first.filter),
      output_fields: [...outputFields],
      consistency_level: ConsistencyLevelEnum.Bounded,
      ...(session.index !== undefined && first.anns_field === "dense" ? { params: searchParametersOf(session.index, limit) } : {}),
    };
    const read = this.#read(session, "search", async (timeout) => session.client.search({ ...search, timeout }));
    const { results } = await this.#unlessSilent(session, read);
    const rows = results as unknown as readonly SearchRow[] | readonly (readonly SearchRow[])[];
    // The SDK gives the rows of a single search, or of several without a row at all, as they are.
    const bySearch = (searches.length === 1 ? [rows] : rows) as readonly (readonly SearchRow[])[];
    return searches.map((each, index) => (bySearch[index] ?? []).slice(0, each.limit));
  }

  async delete(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<void> {
    const { client, lane, liteFlush } = await raceAbort(this.#connected(), signal);
    // Deleting by key alone is the one form that is fast on Lite; the project is therefore checked before.
    const own = [...(await this.existing(project, chunkIds, signal))];
    for (const keys of slices(own, keysPerCallMax)) {
      const filter = keysExpression(keys);
      await lane.run(async () => {
        await this.#call("delete", deadlines.writeMs, async (timeout) =>
          client.deleteEntities({ collection_name: this.#names.collection, filter, timeout }),
        );
        await liteFlush?.wrote(filter.length);
      }, signal);
    }
  }

  /** How the vectors are indexed; undefined on Milvus Lite, which searches them all. */
  async indexSettings(signal: AbortSignal): Promise<IndexSettings | undefined> {
    return (await raceAbort(this.#connected(), signal)).index;
  }

  /**
   * Has all processes search with these settings, within seconds, and builds the index anew where it must be; then searches fail until it is built.
   * @throws ConfigError `store.index_fixed` on Milvus Lite; DependencyError as the others
   */
  async applyIndexSettings(settings: IndexSettings, signal: AbortSignal): Promise<void> {
    const session = await raceAbort(this.#connected(), signal);
    const { redis, space } = this.#options;
    if (session.index === undefined || redis === undefined) {
      throw new ConfigError("store.index_fixed", "Milvus Lite searches all vectors exactly: its index has no settings", {
        hint: "Set MILVUS_ADDRESS to a Milvus.",
      });
    }
    const { type, build } = session.index;
    if (type !== settings.type || JSON.stringify(build) !== JSON.stringify(settings.build)) {
      await rebuildVectorIndex(session.client, this.#names.collection, settings);
    }
    await writeIndexSettings(redis, space.fingerprint, settings);
    session.index = settings;
  }

  /** In the background: a search goes on with what is known. */
  #readIndexSettings(session: Session): void {
    const { redis, space } = this.#options;
    session.indexReadAt = performance.now();
    if (redis === undefined) return;
    readIndexSettings(redis, space.fingerprint).then(
      (settings) => {
        session.index = settings;
      },
      () => undefined, // Redis is away: they are read again
    );
  }

  #query(session: Session, chunkIds: readonly string[], fields: readonly string[]): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return this.#queryBy(session, "look up keys", keysExpression(chunkIds), fields);
  }

  async #queryBy(
    session: Session,
    operation: string,
    filter: string,
    fields: readonly string[],
    limit?: number,
  ): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { data } = await this.#read(session, operation, async (timeout) =>
      session.client.query({
        collection_name: this.#names.collection,
        filter,
        output_fields: [...fields],
        consistency_level: ConsistencyLevelEnum.Strong,
        timeout,
        ...(limit === undefined ? {} : { limit }),
      }),
    );
    return data;
  }

  #read<T>(session: Session, operation: string, send: (timeoutMs: number) => Promise<T>): Promise<T> {
    const read = (): Promise<T> => this.#readLoaded(session, operation, send);
    return session.liteFlush === undefined ? read() : session.liteFlush.read(read);
  }

  /** A read of a collection that is not loaded, as after a restart of Lite, loads it and is repeated once. */
  async #readLoaded<T>(session: Session, operation: string, send: (timeoutMs: number) => Promise<T>): Promise<T> {
    try {
      return await this.#call(operation, deadlines.readMs, send);
    } catch (error) {
      if (milvusCodeOf(error) !== milvusCodes.collectionNotLoaded) throw error;
      await loadCollection(session.client, this.#names.collection);
      return await this.#call(operation, deadlines.readMs, send);
    }
  }

  async #call<T>(operation: string, deadlineMs: number, send: (timeoutMs: number) => Promise<T>): Promise<T> {
    try {
      return await call(operation, deadlineMs, send);
    } catch (error) {
      // Somebody dropped the collection: the next call makes it again.
      if (milvusCodeOf(error) === milvusCodes.collectionNotFound) this.#forget();
      throw error;
    }
  }

  async #unlessSilent<T>(session: Session, read: Promise<T>): Promise<T> {
    try {
      return await this.#pulse.guard(read, () => tellVersion(session.client));
    } catch (error) {
      // A connection that swallowed a request may never say so: the next call makes another one.
      if (this.#pulse.isSilent && (await this.#session?.catch(() => undefined)) === session) {
        this.#away = true;
        this.#forget();
      }
      throw error;
    }
  }

  /** Waits for a connection that is being made, but not long, and not at all where the server was silent just now. */
  async #connectedSoon(): Promise<Session> {
    const connected = this.#connected();
    const gaveUp = new AbortController();
    const timer = setTimeout(() => gaveUp.abort(notConnected()), searchConnectMsMax);
    if (this.#away) gaveUp.abort(notConnected());
    try {
      return await raceAbort(connected, gaveUp.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  #connected(): Promise<Session> {
    this.#session ??= this.#connect().catch((error: unknown) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  #forget(): void {
    const session = this.#session;
    this.#session = undefined;
    session?.then(
      ({ client }) => client.closeConnection(),
      () => undefined,
    );
  }

  async #connect(): Promise<Session> {
    const client = await connectMilvus(this.#options);
    try {
      const { version } = await tellVersion(client);
      this.#pulse.connected();
      this.#isLite = version.startsWith("milvus_lite");
      const session = await (this.#isLite ? this.#openLite(client) : this.#open(client));
      this.#away = false;
      return session;
    } catch (error) {
      await client.closeConnection();
      throw error;
    }
  }

  async #open(client: MilvusClient): Promise<Session> {
    const { redis, space } = this.#options;
    const index = redis === undefined ? defaultIndexSettings : await readIndexSettings(redis, space.fingerprint);
    await ensureCollection(client, this.#names, space, index);
    return { client, lane: openLane, liteFlush: undefined, index, indexReadAt: performance.now() };
  }

  async #openLite(client: MilvusClient): Promise<Session> {
    const { redis, laneKey = "{millrace:vector-store}:writer" } = this.#options;
    if (redis === undefined) {
      throw new ConfigError("store.lane_missing", "Milvus Lite takes one writer at a time, and no Redis was given to keep them apart");
    }
    const lane = new RedisWriterLane({ redis, key: laneKey });
    // Nobody's request: several calls may wait for it, and each gives up by its own signal.
    const signal = AbortSignal.timeout(deadlines.schemaMs);
    await lane.run(() => ensureCollection(client, this.#names, this.#options.space, "lite"), signal);
    this.#searchSign ??= new SearchSign(redis, `${laneKey}:searching`);
    const liteFlush = new LiteFlush(client, this.#names.collection, redis, lane, this.#searchSign, laneKey);
    await liteFlush.start();
    return { client, lane, liteFlush, index: undefined, indexReadAt: 0 };
  }
}

/** The SDK makes JSON of every request for its log, also where that is off; of thousands of numbers that takes longer than sending them. */
const unlogged = { toJSON: () => "not shown" };

function tellVersion(client: MilvusClient): Promise<{ readonly version: string }> {
  return call("tell its version", deadlines.connectMs, () => client.getVersion());
}

function notConnected(): DependencyError {
  return new DependencyError("store.unavailable", "There is no connection to Milvus yet", {
    hint: "Is Milvus running at MILVUS_ADDRESS? `millrace status` shows the embedded one.",
  });
}

/** Searches that may share a request: same project, filter and way of searching, and limits so near that none pays for another's rows more than twice. */
function kindOfSearch({ project, filter, limit, anns_field }: StoreSearchBy): string {
  return JSON.stringify([anns_field, project, Math.ceil(Math.log2(limit)), filter ?? null]);
}

/** Rows are made batch by batch, so that a large document is not held in memory twice. */
function* batches(records: readonly ChunkRecord[], dimension: number): Generator<RowBatch> {
  let rows: Row[] = [];
  let bytes = 0;
  for (const record of records) {
    const row = toRow(record, dimension);
    const size = rowBytes(row);
    if (rows.length > 0 && (rows.length >= limits.storeBatchRowsMax || bytes + size > limits.storeBatchBytesMax)) {
      yield { rows, bytes };
      rows = [];
      bytes = 0;
    }
    rows.push(row);
    bytes += size;
  }
  if (rows.length > 0) yield { rows, bytes };
}

function* slices<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
