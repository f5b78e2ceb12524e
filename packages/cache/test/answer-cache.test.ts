import { HashEmbedder } from "@millrace/core";
import { connectRedis } from "@millrace/runtime";
import { startRedis, type TestRedis } from "@millrace/testing";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { AnswerCache, CachedQueryEmbedder, CacheRedis } from "../src/index.ts";

let server: TestRedis;
let connection: Redis;
const signal = new AbortController().signal;

beforeAll(async () => {
  server = await startRedis();
  connection = connectRedis(server.url, "cache", () => undefined);
  await new Promise((resolve) => connection.once("ready", resolve));
});
beforeEach(() => connection.flushall());
afterAll(async () => {
  connection.disconnect();
  await server.stop();
});

/** A cache as another process would have it: nothing in memory. */
const newCache = (staleSeconds = 0): AnswerCache =>
  new AnswerCache({ redis: new CacheRedis(connection), memoryBytesMax: 1_000_000, ttlSeconds: 600, emptyTtlSeconds: 15, staleSeconds });
const computed = (text: string, empty = false) => ({ bytes: Buffer.from(text), empty });

test("memory answers first, then Redis, then the computation; the bytes are the same", async () => {
  const bytes = Buffer.from([0, 255, 10, 13, 0xf0, 0x9f]);
  const cache = newCache();
  const compute = async () => ({ bytes, empty: false });
  expect(await cache.answer("k", compute, () => signal)).toEqual({ bytes, cache: "miss" });
  expect(await cache.answer("k", compute, () => signal)).toEqual({ bytes, cache: "hit" });
  const other = newCache();
  const fromRedis = await other.answer(
    "k",
    () => Promise.reject(new Error("not to be computed")),
    () => signal,
  );
  expect(Buffer.compare(Buffer.from(fromRedis.bytes), bytes)).toBe(0);
  expect(cache.counts).toEqual({ memoryHits: 1, redisHits: 0, stale: 0, misses: 1 });
  expect(other.counts).toEqual({ memoryHits: 0, redisHits: 1, stale: 0, misses: 0 });
});

test("an answer without hits is kept, but not for long", async () => {
  const cache = newCache();
  await cache.answer(
    "empty",
    async () => computed("[]", true),
    () => signal,
  );
  await cache.answer(
    "full",
    async () => computed("[1]"),
    () => signal,
  );
  expect(
    await cache.answer(
      "empty",
      () => Promise.reject(new Error("not to be computed")),
      () => signal,
    ),
  ).toMatchObject({ cache: "hit" });
  expect(await connection.pttl("empty")).toBeLessThanOrEqual(15_000);
  expect(await connection.pttl("full")).toBeGreaterThan(500_000);
});

test("an error is never kept", async () => {
  const cache = newCache();
  await expect(
    cache.answer(
      "k",
      () => Promise.reject(new Error("outage")),
      () => signal,
    ),
  ).rejects.toThrow("outage");
  expect(await connection.exists("k")).toBe(0);
  expect(
    await cache.answer(
      "k",
      async () => computed("right"),
      () => signal,
    ),
  ).toMatchObject({ cache: "miss" });
});

test("a stale answer is given while it is computed anew, and no longer than it may", async () => {
  const cache = newCache(1);
  let content = "old";
  const ask = async (key: string): Promise<string> => {
    const { bytes, cache: state } = await cache.answer(
      key,
      async () => computed(content),
      () => signal,
      "any content",
    );
    return `${state} ${Buffer.from(bytes).toString()}`;
  };
  expect(await ask("epoch 1")).toBe("miss old");
  await connection.ping(); // the write before it has arrived
  content = "new";
  expect(await ask("epoch 2")).toBe("stale old");
  await expect.poll(() => ask("epoch 2")).toBe("hit new");
  content = "newest";
  expect(await ask("epoch 3")).toBe("stale new");
  expect(await connection.pttl("any content")).toBeLessThanOrEqual(1_000);
  await expect.poll(() => connection.exists("any content")).toBe(0);
  content = "newest of all";
  expect(await ask("epoch 4")).toBe("miss newest of all");
});

test("what a stale answer was computed from counts for its age, not how long that took or when it arrived", async () => {
  const cache = newCache(1);
  const slow = async () => {
    await new Promise((resolve) => setTimeout(resolve, 600)); // a computation that takes so long
    return computed("slow");
  };
  await cache.answer("epoch 1", slow, () => signal, "any content");
  await connection.ping();
  expect(await connection.pttl("any content")).toBeLessThanOrEqual(410);
});

test("a frozen cache Redis changes nothing about the answers", async () => {
  process.kill(server.pid, "SIGSTOP");
  try {
    const cache = newCache();
    const startedAt = performance.now();
    for (let index = 0; index < 20; index++) {
      const { bytes } = await cache.answer(
        `k${index}`,
        async () => computed(`answer ${index}`),
        () => signal,
      );
      expect(Buffer.from(bytes).toString()).toBe(`answer ${index}`);
    }
    // Each that waited would cost 50 ms for reading and 50 for writing.
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  } finally {
    process.kill(server.pid, "SIGCONT");
  }
});

test("the vectors of queries are remembered, and of their own model only", async () => {
  const redis = new CacheRedis(connection);
  const options = { redis, memoryBytesMax: 1_000_000, ttlSeconds: 60 };
  const inner = new HashEmbedder({ dimension: 16 });
  const [expected] = await inner.embed(["a question"], signal);
  const first = new CachedQueryEmbedder(inner, options);
  expect(await first.embed(["a question"], signal)).toEqual([expected]);
  expect(await first.embed(["a question"], signal)).toEqual([expected]);
  expect(first.counts).toEqual({ memoryHits: 1, redisHits: 0, misses: 1 });
  await connection.ping(); // the write before it has arrived
  const second = new CachedQueryEmbedder(inner, options);
  expect(await second.embed(["a question"], signal)).toEqual([expected]);
  expect(second.counts).toEqual({ memoryHits: 0, redisHits: 1, misses: 0 });
  const otherModel = new CachedQueryEmbedder(new HashEmbedder({ dimension: 8 }), options);
  expect((await otherModel.embed(["a question"], signal))[0]).toHaveLength(8);
  expect(otherModel.counts.misses).toBe(1);
});
