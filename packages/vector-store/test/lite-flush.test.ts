import { startRedis, type TestRedis } from "@millrace/testing";
import { MilvusClient } from "@zilliz/milvus2-sdk-node";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { flushBytes, LiteFlush } from "../src/lite-flush.ts";
import { SearchSign } from "../src/search-sign.ts";
import { openLane } from "../src/writer-lane.ts";

const searchKey = "{t}:searching";
const keys = { flushing: "{t}:c:flushing", flushes: "{t}:c:flushes", unflushed: "{t}:c:unflushed" };
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

/** Its Milvus is never there: a flush fails, which must not matter. */
function open(): LiteFlush {
  const client = new MilvusClient({ address: "127.0.0.1:1", maxRetries: 0, logLevel: "error", __SKIP_CONNECT__: true });
  return new LiteFlush(client, "c", redis, openLane, new SearchSign(redis, searchKey), "{t}");
}

describe("LiteFlush", () => {
  it("repeats a read that a flush began in", async () => {
    let reads = 0;
    const answer = await open().read(async () => {
      reads++;
      if (reads === 1) await redis.set(keys.flushing, "1", "PX", 60);
      return reads;
    });
    expect(answer).toBe(2);
    expect(await redis.exists(keys.flushing)).toBe(0); // it waited for the end
  });

  it("repeats a read that a whole flush fell into", async () => {
    let reads = 0;
    const answer = await open().read(async () => {
      reads++;
      if (reads <= 2) await redis.incr(keys.flushes);
      return reads;
    });
    expect(answer).toBe(3);
  });

  it("reads once when there is no flush, and passes errors on", async () => {
    let reads = 0;
    expect(await open().read(async () => ++reads)).toBe(1);
    await expect(open().read(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  });

  it("takes its mark away when the flush failed for good", async () => {
    await open().wrote(flushBytes.unsearched);
    expect(await redis.mget(keys.flushing, keys.flushes, keys.unflushed)).toEqual([null, "1", "0"]);
  });

  it("counts what several writers wrote", async () => {
    const [one, other] = [open(), open()];
    await one.wrote(flushBytes.unsearched * 0.625);
    await other.wrote(flushBytes.unsearched * 0.25);
    expect(await redis.get(keys.flushes)).toBeNull();
    await one.wrote(flushBytes.unsearched * 0.125);
    expect(await redis.get(keys.flushes)).toBe("1");
    await other.close();
  });

  it("flushes early from the moment on at which somebody searches, and late when nobody does any more", async () => {
    const [writer, searcher] = [open(), new SearchSign(redis, searchKey)];
    await writer.wrote(flushBytes.searched);
    expect(await redis.get(keys.flushes)).toBeNull();
    searcher.raise();
    await writer.wrote(1);
    expect(await redis.get(keys.flushes)).toBe("1");
    await redis.del(searchKey); // as when it runs out
    await writer.wrote(flushBytes.searched);
    expect(await redis.get(keys.flushes)).toBe("1");
    await writer.close();
  });
});
