import { setTimeout as delay } from "node:timers/promises";
import { DependencyError, errorMessage, isMillraceError } from "@millrace/core";
import type { MilvusClient } from "@zilliz/milvus2-sdk-node";
import type { Redis } from "ioredis";
import { call, deadlines } from "./milvus-client.ts";
import type { SearchSign } from "./search-sign.ts";
import type { WriterLane } from "./writer-lane.ts";

/**
 * Decides when Milvus Lite flushes, for two reasons.
 *
 * Speed: Lite searches rows in its memory one by one in Python, some 180 ms per 1,000 rows by vector and by words, against 1 or 2 ms once they are in
 * a segment; by itself it flushes at 128 MiB, after tens of thousands of chunks. Here a writer flushes after `flushBytes`, early
 * while somebody searches, and when nothing more came for a while.
 *
 * Truth: at the start of a flush there is a moment in which a read sees the rows neither in memory nor in a segment. As every
 * flush is one of ours (the budget of Lite is never reached), it announces itself in Redis, and a read during which a
 * flush was announced or finished is repeated.
 */
export class LiteFlush {
  readonly #client: MilvusClient;
  readonly #collection: string;
  readonly #redis: Redis;
  readonly #lane: WriterLane;
  readonly #searchSign: SearchSign;
  readonly #keys: { readonly unflushed: string; readonly flushing: string; readonly flushes: string };
  #timer: NodeJS.Timeout | undefined;

  constructor(client: MilvusClient, collection: string, redis: Redis, lane: WriterLane, searchSign: SearchSign, laneKey: string) {
    this.#client = client;
    this.#collection = collection;
    this.#redis = redis;
    this.#lane = lane;
    this.#searchSign = searchSign;
    const key = (name: string): string => `${laneKey}:${collection}:${name}`;
    this.#keys = { unflushed: key("unflushed"), flushing: key("flushing"), flushes: key("flushes") };
  }

  /** Looks after what was left unflushed when the last writer ended. */
  async start(): Promise<void> {
    this.#flushLater(Number(await this.#ask(() => this.#redis.get(this.#keys.unflushed))));
  }

  /** To be called within the lane, after each write. */
  async wrote(bytes: number): Promise<void> {
    const count = () => this.#redis.incrby(this.#keys.unflushed, bytes);
    const [unflushed, isSearched] = await this.#ask(() => Promise.all([count(), this.#searchSign.isUp()]));
    if (unflushed >= (isSearched ? flushBytes.searched : flushBytes.unsearched)) await this.#flush();
    else this.#flushLater(unflushed);
  }

  /**
   * Gives the answer of a read that no flush came in the way of.
   * @throws DependencyError `store.timeout` when flushes leave no room for it; what `send` throws
   */
  async read<T>(send: () => Promise<T>): Promise<T> {
    const giveUpAt = performance.now() + deadlines.readMs;
    while (performance.now() < giveUpAt) {
      const before = await this.#flushes();
      if (before !== undefined) {
        const answer = await send();
        if ((await this.#flushes()) === before) return answer;
      }
      await delay(pollMs);
    }
    throw new DependencyError("store.timeout", `Milvus Lite was busy flushing for ${deadlines.readMs} ms`);
  }

  /** Flushes what is worth it, so that the next process finds segments. */
  async close(): Promise<void> {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    await this.#flushIdle();
  }

  #flushLater(unflushed: number): void {
    clearTimeout(this.#timer);
    this.#timer = unflushed < idleBytesMin ? undefined : setTimeout(() => void this.#flushIdle(), idleMs).unref();
  }

  async #flushIdle(): Promise<void> {
    try {
      await this.#lane.run(() => this.#flush(), AbortSignal.timeout(flushMsMax));
    } catch {
      // Only speed is at stake, and the next write tries again.
    }
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { flushing, flushes, unflushed } = this.#keys;
    const mark = (ms: number) => this.#ask(() => this.#redis.set(flushing, "1", "PX", ms));
    // Runs out by itself soon after this process has died: searches wait for it.
    await mark(markMs);
    const renewal = setInterval(() => void mark(markMs).catch(() => undefined), markMs / 3);
    try {
      await call("flush", flushMsMax, (timeout) => this.#client.flush({ collection_names: [this.#collection], timeout }));
    } catch (error) {
      // It may still be going on. The write before it has succeeded all the same.
      if (isMillraceError(error) && error.code === "store.timeout") return void (await mark(2 * flushMsMax));
    } finally {
      clearInterval(renewal);
    }
    await this.#ask(() => this.#redis.multi().incr(flushes).del(flushing).set(unflushed, "0").exec());
  }

  /** How many flushes there were; undefined during one. */
  async #flushes(): Promise<string | undefined> {
    const [flushing, flushes] = await this.#ask(() => this.#redis.mget(this.#keys.flushing, this.#keys.flushes));
    return flushing === null ? (flushes ?? "0") : undefined;
  }

  async #ask<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw new DependencyError(
        "store.lane_unavailable",
        `The Redis of the vector store's writers does not answer: ${errorMessage(error)}`,
        {
          cause: error,
        },
      );
    }
  }
}

/**
 * While somebody searches, after about 190 chunks with 384 numbers each: a row in memory costs every search 0.18 ms of Lite's one thread, and being flushed,
 * once, about as much. With half of that, searches beside an ingest were 6 ms faster in the median and 20 ms slower at the 95th percentile: more of them met a flush,
 * or the merge of small segments that Lite does in the background, four at a time, and lets no search begin meanwhile. While nobody searches, later, which
 * saves some 0.2 s of processor time per 1,000 chunks; the first search then pays for 760 rows at most.
 */
export const flushBytes = { searched: 512 * 1024, unsearched: 2 * 1024 * 1024 } as const;
/** Less than this costs a search less than a small segment file does. */
const idleBytesMin = 128 * 1024;
/** Longer than writers of many small documents wait for company, which are not idle. */
const idleMs = 2_000;
const flushMsMax = 10_000;
const markMs = 3_000;
const pollMs = 5;
