import { connectRedis } from "@millrace/runtime";
import { startRedis, type TestRedis } from "@millrace/testing";
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test } from "vitest";

/** When a command behind a request is too late. */
let server: TestRedis;
const connections: Redis[] = [];

beforeEach(async () => {
  server = await startRedis();
});
afterEach(async () => {
  for (const each of connections.splice(0)) each.disconnect();
  await server.stop();
});

async function connected(redis: Redis): Promise<Redis> {
  connections.push(redis);
  await redis.ping();
  return redis;
}

/** A turn of the event loop that takes long, as many requests at once make it. */
function busy(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

test("one whose reply lies there after a busy turn is not", async () => {
  const redis = await connected(connectRedis(server.url, "service", () => undefined));
  const replies = [redis.ping(), redis.pipeline().ping().ping().exec()];
  busy(1_200);
  expect(await Promise.all(replies)).toEqual([
    "PONG",
    [
      [null, "PONG"],
      [null, "PONG"],
    ],
  ]);
});

test("control: by ioredis' own time limit it is", async () => {
  const redis = await connected(new Redis(server.url, { commandTimeout: 800 }));
  const reply = redis.ping();
  busy(1_200);
  await expect(reply).rejects.toThrow("Command timed out");
});

test("one that Redis does not answer is, after 0.8 s", async () => {
  const redis = await connected(connectRedis(server.url, "service", () => undefined));
  process.kill(server.pid, "SIGSTOP");
  try {
    const startedAt = performance.now();
    await expect(redis.ping()).rejects.toThrow("Command timed out");
    expect(performance.now() - startedAt).toBeGreaterThan(750);
  } finally {
    process.kill(server.pid, "SIGCONT");
  }
});
