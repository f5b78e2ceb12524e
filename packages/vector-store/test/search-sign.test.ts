import { startRedis, type TestRedis } from "@millrace/testing";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { SearchSign } from "../src/search-sign.ts";

const key = "{t}:searching";
let server: TestRedis;
let redis: Redis;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
beforeEach(() => redis.flushall());
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

test("a writer sees that somebody searches, and that nobody does any more", async () => {
  const [searcher, writer] = [new SearchSign(redis, key), new SearchSign(redis, key)];
  expect(await writer.isUp()).toBe(false);
  searcher.raise();
  expect(await writer.isUp()).toBe(true);
  const leftMs = await redis.pttl(key);
  expect(leftMs).toBeGreaterThan(0);
  expect(leftMs).toBeLessThanOrEqual(60_000);
  await redis.del(key); // as when it runs out
  expect(await writer.isUp()).toBe(false);
});

test("a thousand searches in a row cost Redis one command", async () => {
  await redis.config("RESETSTAT");
  const searcher = new SearchSign(redis, key);
  for (let search = 0; search < 1_000; search++) searcher.raise();
  expect(await redis.exists(key)).toBe(1);
  expect(await redis.info("commandstats")).toMatch(/cmdstat_set:calls=1,/);
});

test("a search does not notice that Redis is away", async () => {
  const away = new Redis({ port: 1, lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0, enableOfflineQueue: false });
  away.on("error", () => undefined);
  expect(() => new SearchSign(away, key).raise()).not.toThrow();
  // An unhandled rejection would fail this test.
  await new Promise((resolve) => setImmediate(resolve));
  away.disconnect();
});
