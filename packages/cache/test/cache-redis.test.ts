import { connectRedis } from "@millrace/runtime";
import { startRedis, type TestRedis } from "@millrace/testing";
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CacheRedis } from "../src/index.ts";

/** The breaker against a redis-server that is frozen, paused, killed. */
let server: TestRedis;
let connection: Redis;
let cache: CacheRedis;
/** Longer than in the service: what a busy machine adds must stay far below what a second wait would. */
const timeoutMs = 500;
const onceMsMax = 2 * timeoutMs - 50;
/** Waits for nothing. */
const atOnceMsMax = timeoutMs / 2;

beforeEach(async () => {
  server = await startRedis();
  connection = connectRedis(server.url, "cache", () => undefined);
  await new Promise((resolve) => connection.once("ready", resolve));
  cache = new CacheRedis(connection, { openMs: 200, timeoutMs });
});
afterEach(async () => {
  connection.disconnect();
  await server.stop();
});

const get = (): Promise<string | null | undefined> => cache.attempt((redis) => redis.get("k"));

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, ms: performance.now() - startedAt };
}

async function closedAgain(): Promise<void> {
  const giveUpAt = performance.now() + 10_000;
  while (cache.state !== "closed") {
    if (performance.now() > giveUpAt) throw new Error(`the breaker is ${cache.state} after 10 s`);
    await get();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("a frozen Redis costs all who wait its time limit together, later ones nothing, and it is used again when it goes on", async () => {
  await connection.set("k", "v");
  process.kill(server.pid, "SIGSTOP");
  const together = await timed(() => Promise.all(Array.from({ length: 100 }, get)));
  expect(together.value.every((value) => value === undefined)).toBe(true);
  expect(together.ms).toBeGreaterThan(timeoutMs - 10);
  expect(together.ms).toBeLessThan(onceMsMax);
  expect(cache.state).toBe("open");
  // Longer than the pause between probes: no request waits for one of them either.
  const until = performance.now() + 1_500;
  const waits: number[] = [];
  while (performance.now() < until) {
    waits.push((await timed(get)).ms);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(Math.max(...waits)).toBeLessThan(atOnceMsMax);
  process.kill(server.pid, "SIGCONT");
  await closedAgain();
  expect(await get()).toBe("v");
});

test("a paused Redis is left alone, too", async () => {
  const other = new Redis(server.url);
  await other.client("PAUSE", 2_000, "ALL");
  expect((await timed(get)).ms).toBeLessThan(onceMsMax);
  expect((await timed(get)).ms).toBeLessThan(atOnceMsMax);
  other.disconnect();
  await closedAgain();
  expect(await get()).toBeNull();
});

test("a killed Redis is a miss at once, and is used again after its restart", async () => {
  await server.kill();
  expect((await timed(get)).value).toBeUndefined();
  expect((await timed(get)).ms).toBeLessThan(atOnceMsMax);
  await server.restart();
  await closedAgain();
  expect(await cache.attempt((redis) => redis.set("k", "w"))).toBe("OK");
  expect(await get()).toBe("w");
});
