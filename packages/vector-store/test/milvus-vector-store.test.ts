import { type ChunkRecord, chunkIdOf, type EmbeddingSpace, MemoryVectorStore, parseProjectName, type VectorStore } from "@millrace/core";
import { startMilvusLite, startRedis, type TestMilvusLite, type TestRedis } from "@millrace/testing";
import { MilvusVectorStore, type MilvusVectorStoreOptions } from "@millrace/vector-store";
import { MilvusClient } from "@zilliz/milvus2-sdk-node";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

const signal = new AbortController().signal;
const project = parseProjectName("p");
const dimension = 8;

let redisServer: TestRedis;
let milvus: TestMilvusLite;
let redis: Redis;
const opened: MilvusVectorStore[] = [];

beforeAll(async () => {
  [redisServer, milvus] = await Promise.all([startRedis(), startMilvusLite()]);
  redis = new Redis(redisServer.url);
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});
afterAll(async () => {
  redis.disconnect();
  await Promise.all([milvus.stop(), redisServer.stop()]);
});

function open(fingerprint: string, options: Partial<MilvusVectorStoreOptions> = {}): MilvusVectorStore {
  const space: EmbeddingSpace = { modelId: "test", fingerprint, dimension, tokensMax: 256 };
  const store = new MilvusVectorStore({ address: milvus.address, redis, space, ...options });
  opened.push(store);
  return store;
}

function records(count: number, first = 0): ChunkRecord[] {
  return Array.from({ length: count }, (_, index) => {
    const ordinal = first + index;
    const angle = ordinal * 0.001;
    return {
      chunkId: chunkIdOf(project, "d", "g", ordinal),
      project,
      documentId: "d",
      generation: "g",
      source: "s.md",
      mediaType: "text/plain",
      title: "t",
      ingestedAt: 1_760_000_000_000,
      metadata: {},
      chunk: { ordinal, text: `chunk ${ordinal}`, span: { start: 0, end: 1 }, tokens: 3, headings: [] },
      vector: Float32Array.of(Math.cos(angle), Math.sin(angle), 0, 0, 0, 0, 0, 0),
    };
  });
}

const idsOf = (rows: readonly ChunkRecord[]): string[] => rows.map((row) => row.chunkId);

describe("MilvusVectorStore", () => {
  it("starts once and again on what is there", async () => {
    const [first, second] = [open("again"), open("again")];
    await Promise.all([first.start(signal), second.start(signal)]);
    await first.upsert(records(3), signal);
    await second.ready(signal);
    expect(await open("again").existing(project, idsOf(records(4)), signal)).toEqual(new Set(idsOf(records(3))));
  });

  it("lets the writers of Milvus Lite know that somebody searches, by vector or by words", async () => {
    const laneKey = "{searched}:lane";
    const store = open("searched", { laneKey });
    const isUp = () => redis.exists(`${laneKey}:searching`);
    await store.upsert(records(3), signal);
    await store.existing(project, idsOf(records(3)), signal);
    expect(await isUp()).toBe(0);
    await store.search({ project, vector: Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0), limit: 1 }, signal);
    expect(await isUp()).toBe(1);
    await redis.del(`${laneKey}:searching`);
    await open("searched", { laneKey }).searchKeywords({ project, text: "chunk", limit: 1 }, signal);
    expect(await isUp()).toBe(1);
  });

  it("weighs words by all rows, whatever segments they lie in, and knows of those in memory", async () => {
    const store = open("segments");
    const reference = new MemoryVectorStore(dimension);
    const client = new MilvusClient({ address: milvus.address, logLevel: "error" });
    const textOf = (ordinal: number): string =>
      `${ordinal < 60 || ordinal % 3 === 0 ? "turbine " : ""}${ordinal % 7 === 0 ? "pump " : ""}`.repeat(1 + (ordinal % 2));
    const rows = records(200).map((record) => ({
      ...record,
      chunk: { ...record.chunk, text: `${textOf(record.chunk.ordinal)}${record.chunk.text}` },
    }));
    const search = { project, text: "turbine pump 63", limit: 200 };
    const compare = async (digits: number): Promise<void> => {
      const scores = async (of: VectorStore) =>
        new Map((await of.searchKeywords(search, signal)).map(({ ordinal, score }) => [ordinal, score]));
      const [found, expected] = [await scores(store), await scores(reference)];
      expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
      for (const [ordinal, score] of expected) expect(found.get(ordinal), `row ${ordinal}`).toBeCloseTo(score, digits);
    };
    // A segment where one of the words is in every row, a small one, and one of the usual kind.
    for (const [from, to] of [
      [0, 60],
      [60, 65],
      [65, 190],
    ] as const) {
      await store.upsert(rows.slice(from, to), signal);
      await reference.upsert(rows.slice(from, to), signal);
      await client.flushSync({ collection_names: ["chunks_segments"] });
      await compare(3);
    }
    await store.upsert(rows.slice(190), signal);
    await reference.upsert(rows.slice(190), signal);
    await compare(0);
    await client.closeConnection();
  });

  it("points the alias at the collection in use", async () => {
    await open("alias_one", { collectionPrefix: "aliased" }).start(signal);
    await open("alias-two", { collectionPrefix: "aliased" }).start(signal);
    const client = new MilvusClient({ address: milvus.address, logLevel: "error" });
    const alias = await client.describeAlias({ alias: "aliased_active", collection_name: "aliased_active" });
    await client.closeConnection();
    expect(alias.collection).toBe("aliased_alias_two");
  });

  it("refuses a collection of another space and names the way out", async () => {
    await open("mismatch").start(signal);
    const other: EmbeddingSpace = { modelId: "other", fingerprint: "mismatch", dimension: 4, tokensMax: 256 };
    const failure = {
      code: "store.space_mismatch",
      retryable: false,
      hint: expect.stringContaining('drop the collection "chunks_mismatch"'),
    };
    await expect(open("unused", { space: other }).start(signal)).rejects.toMatchObject(failure);
    // The same collection name, but another fingerprint.
    await expect(open("unused", { space: { ...other, dimension, fingerprint: "mis-match" } }).start(signal)).resolves.toBeUndefined();
    await expect(open("unused", { space: { ...other, dimension, fingerprint: "mis.match" } }).start(signal)).rejects.toMatchObject({
      code: "store.space_mismatch",
    });
  });

  it("refuses Milvus Lite without a lock for its writers", async () => {
    const space: EmbeddingSpace = { modelId: "test", fingerprint: "nolane", dimension, tokensMax: 256 };
    const store = new MilvusVectorStore({ address: milvus.address, space });
    opened.push(store);
    await expect(store.upsert(records(1), signal)).rejects.toMatchObject({ code: "store.lane_missing" });
  });

  it("finds every record by its own vector, before and after a flush", async () => {
    const store = open("self");
    const rows = records(300).map((record, index) => {
      const direction = Float32Array.from({ length: dimension }, (_, i) => Math.sin((index + 1) * (i + 1) * 1.7));
      return { ...record, vector: direction.map((value) => value / Math.hypot(...direction)) };
    });
    await store.upsert(rows, signal);
    const selfSearch = async (): Promise<void> => {
      for (const row of rows) {
        const [hit] = await store.search({ project, vector: row.vector, limit: 1 }, signal);
        expect(hit).toMatchObject({ chunkId: row.chunkId, score: expect.closeTo(1, 5) });
      }
    };
    await selfSearch();
    await store.close(); // flushes
    await selfSearch();
  });

  it("keeps what was written last of each row, in every field, when it flushes", async () => {
    const store = open("kept");
    const written = records(40).map((record, index): ChunkRecord => {
      const { chunk } = record;
      const headings = [`Überschrift ${index}`, "二"];
      const metadata = { [`key${index % 3}`]: [`value ${index}`], shared: index };
      return {
        ...record,
        title: `t${index}`,
        metadata,
        chunk: { ...chunk, span: { start: index, end: index + 9 }, page: index, headings },
      };
    });
    for (const from of [0, 10, 20, 30]) await store.upsert(written.slice(from, from + 10), signal);
    const again = written.slice(5, 25).map((record) => ({ ...record, chunk: { ...record.chunk, text: `again ${record.title}` } }));
    await store.upsert(again, signal);
    await store.delete(project, idsOf(written.slice(15, 18)), signal);
    const all = async () => {
      const rows = [await store.read(project, idsOf(written), signal), await store.vectors(project, idsOf(written), signal)] as const;
      expect(rows.map(({ length }) => length)).toEqual([37, 37]);
      return rows;
    };
    const inMemory = await all();
    const client = new MilvusClient({ address: milvus.address, logLevel: "error", telemetry: { enabled: false } });
    await client.flushSync({ collection_names: ["chunks_kept"] });
    await client.closeConnection();
    expect(await all()).toEqual(inMemory);
    expect(inMemory[0].filter(({ text }) => text.startsWith("again")).map(({ ordinal }) => ordinal)).toEqual(
      [...Array(20).keys()].map((index) => index + 5).filter((ordinal) => ordinal < 15 || ordinal > 17),
    );
  });

  it("takes away the index by cosine that earlier versions made on Milvus Lite, whose scores would be others", async () => {
    const rows = records(50);
    const older = open("indexed");
    await older.upsert(rows, signal);
    await older.close();
    const client = new MilvusClient({ address: milvus.address, logLevel: "error", telemetry: { enabled: false } });
    const collection_name = "chunks_indexed";
    await client.flushSync({ collection_names: [collection_name] }); // what lies in Lite's memory has no index
    await client.releaseCollection({ collection_name });
    await client.createIndex({ collection_name, field_name: "dense", index_name: "dense", index_type: "FLAT", metric_type: "COSINE" });
    const [near, far] = [rows[0], rows[49]] as [ChunkRecord, ChunkRecord];
    const cosine = near.vector.reduce((sum, value, index) => sum + value * (far.vector[index] ?? 0), 0);
    const hits = await open("indexed").search({ project, vector: near.vector, limit: 50 }, signal);
    expect(hits[0]).toMatchObject({ chunkId: near.chunkId, score: expect.closeTo(1, 5) });
    expect(hits[49]).toMatchObject({ chunkId: far.chunkId, score: expect.closeTo(cosine, 5) });
    await client.closeConnection();
  });

  it("knows within moments that a frozen Milvus reads nothing", async () => {
    const store = open("frozen");
    const rows = records(3);
    await store.upsert(rows, signal);
    process.kill(milvus.pid, "SIGSTOP");
    try {
      const startedAt = performance.now();
      const reads = [store.read(project, idsOf(rows), signal), store.vectors(project, idsOf(rows), signal)];
      for (const outcome of await Promise.allSettled(reads)) {
        expect(outcome).toMatchObject({ status: "rejected", reason: { code: "store.unavailable" } });
      }
      expect(performance.now() - startedAt).toBeLessThan(5_000);
    } finally {
      process.kill(milvus.pid, "SIGCONT");
    }
    expect(await store.read(project, idsOf(rows), signal)).toHaveLength(3);
  });

  it("takes writes from several stores at once and loses none", async () => {
    const stores = Array.from({ length: 4 }, () => open("several"));
    await Promise.all(stores.map((store, index) => store.upsert(records(500, index * 500), signal)));
    const all = records(2_000);
    expect(await stores[0]?.existing(project, idsOf(all), signal)).toEqual(new Set(idsOf(all)));
  });

  it("does not lose sight of rows while they are flushed", async () => {
    const [reader, writer] = [open("sight"), open("sight")];
    await reader.start(signal);
    for (let round = 0; round < 8; round++) {
      // Enough to be worth a flush, which closing the writer begins at once; it opens again at the next write.
      const rows = records(300, round * 300).map((row) => ({ ...row, chunk: { ...row.chunk, text: "word ".repeat(500) } }));
      await writer.upsert(rows, signal);
      let flushing = true;
      const flushed = writer.close().finally(() => {
        flushing = false;
      });
      while (flushing) {
        const [existing, hits] = await Promise.all([
          reader.existing(project, idsOf(rows.slice(0, 50)), signal),
          reader.search({ project, vector: rows[0]?.vector ?? new Float32Array(dimension), limit: 200 }, signal),
        ]);
        expect(existing.size).toBe(50);
        expect(hits[0]?.chunkId).toBe(rows[0]?.chunkId);
      }
      await flushed;
    }
    expect(Number(await redis.get("{millrace:vector-store}:writer:chunks_sight:flushes"))).toBeGreaterThanOrEqual(8);
  });

  it("flushes by itself when much was written", async () => {
    const store = open("budget");
    const rows = records(300).map((row) => ({ ...row, chunk: { ...row.chunk, text: "x".repeat(60_000) } }));
    await store.upsert(rows, signal);
    // 18 MB of text and as much of terms, in requests that are each larger than what may stay unflushed.
    expect(Number(await redis.get("{millrace:vector-store}:writer:chunks_budget:flushes"))).toBeGreaterThanOrEqual(20);
    expect(await store.existing(project, idsOf(rows), signal)).toEqual(new Set(idsOf(rows)));
  });

  it("throws during an outage, never an empty answer, and recovers", async () => {
    const store = open("outage");
    const rows = records(3);
    await store.upsert(rows, signal);
    await milvus.kill();
    const outage = { code: expect.stringMatching(/^store\.(unavailable|timeout)$/), retryable: true };
    const search = (): Promise<unknown[]> =>
      store.search({ project, vector: rows[0]?.vector ?? new Float32Array(dimension), limit: 3 }, signal);
    await expect(search()).rejects.toMatchObject(outage);
    await expect(store.searchKeywords({ project, text: "chunk", limit: 3 }, signal)).rejects.toMatchObject(outage);
    await expect(store.existing(project, idsOf(rows), signal)).rejects.toMatchObject(outage);
    await expect(store.upsert(rows, signal)).rejects.toMatchObject(outage);
    await expect(store.delete(project, idsOf(rows), signal)).rejects.toMatchObject(outage);
    await expect(store.ready(signal)).rejects.toMatchObject(outage);
    await expect(open("never-there").start(signal)).rejects.toMatchObject({ ...outage, hint: expect.stringContaining("MILVUS_ADDRESS") });
    await milvus.restart();
    // The channel reconnects by itself; Lite has forgotten that the collection was loaded.
    await expect.poll(search, { timeout: 10_000 }).toHaveLength(3);
    expect(await store.existing(project, idsOf(rows), signal)).toEqual(new Set(idsOf(rows)));
  });

  it("comes up by itself when Milvus was down at first", async () => {
    const store = open("late");
    await milvus.kill();
    await expect(store.start(signal)).rejects.toMatchObject({ code: "store.unavailable" });
    await milvus.restart();
    await store.upsert(records(1), signal);
    expect((await store.existing(project, idsOf(records(1)), signal)).size).toBe(1);
  });

  it("makes a dropped collection again", async () => {
    const store = open("dropped");
    await store.upsert(records(1), signal);
    const client = new MilvusClient({ address: milvus.address, logLevel: "error" });
    await client.dropAlias({ alias: "chunks_active" });
    await client.dropCollection({ collection_name: "chunks_dropped" });
    await client.closeConnection();
    await expect(store.upsert(records(1), signal)).rejects.toMatchObject({ code: "store.failed", retryable: true });
    await store.upsert(records(1), signal);
    expect((await store.existing(project, idsOf(records(1)), signal)).size).toBe(1);
  });

  it("gives up a waiting write at once when aborted", async () => {
    const store = open("abort");
    await store.start(signal);
    await redis.set("{millrace:vector-store}:writer", "somebody else", "PX", 60_000);
    const controller = new AbortController();
    const waiting = store.upsert(records(1), controller.signal);
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await redis.del("{millrace:vector-store}:writer");
    expect(await store.existing(project, idsOf(records(1)), signal)).toEqual(new Set());
  });
});
