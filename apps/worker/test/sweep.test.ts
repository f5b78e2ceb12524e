import { documentIdOf, parseProjectName } from "@millrace/core";
import { Ledger, Reconciler } from "@millrace/ledger";
import { type DocumentJob, Producer } from "@millrace/queue";
import { connectRedis, createLogger } from "@millrace/runtime";
import { startRedis, type TestRedis } from "@millrace/testing";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { Sweep } from "../src/sweep.ts";

const project = parseProjectName("docs");

let server: TestRedis;
let redis: ReturnType<typeof connectRedis>;
let producer: Producer;
let ledger: Ledger;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, "queue", () => undefined);
  producer = new Producer(redis);
  ledger = new Ledger(redis);
});
beforeEach(() => redis.flushall());
afterAll(async () => {
  await producer.close();
  redis.disconnect();
  await server.stop();
});

/** One sweep, from its timer to its end. Nothing of it reads bytes or rows. */
async function sweepOnce(): Promise<void> {
  await redis.del("millrace:lease:sweep");
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  const reconciler = new Reconciler({ ledger, queue: producer, store: {} as never, blobs: {} as never });
  const inOurSpace = () => Promise.resolve(true);
  const sweep = new Sweep({ redis, ledger, producer, reconciler, inOurSpace, logger: createLogger("test", "silent"), auditSeconds: 0 });
  sweep.start();
  vi.advanceTimersByTime(15_000);
  vi.useRealTimers();
  await vi.waitUntil(async () => (await redis.exists("millrace:lease:sweep")) === 1);
  await sweep.close();
}

async function planned(source: string): Promise<DocumentJob> {
  const request = { project, source, contentHash: "c", fingerprint: "f", bytes: 1, origin: `/${source}`, ingestId: "i" };
  const { generation } = await ledger.plan({ ...request, mediaType: "text/markdown" });
  return { version: 1, project, documentId: documentIdOf(project, source), generation };
}

const waiting = async (): Promise<number> => (await producer.counts("documents")).waiting;

async function reads(): Promise<number> {
  return Number(/cmdstat_hgetall:calls=(\d+)/.exec(await redis.info("commandstats"))?.[1] ?? 0);
}

test("a document without a job gets one at the next sweep, and as long as all have one, none is read", async () => {
  await producer.addDocuments(project, [await planned("a.md"), await planned("b.md")], "bulk");
  // All were looked at a moment ago.
  await redis.set("millrace:lease:look", "1", "EX", 600);
  await redis.config("RESETSTAT");
  await sweepOnce();
  expect([await reads(), await waiting()]).toEqual([0, 2]);

  await planned("lost.md");
  await sweepOnce();
  expect(await waiting()).toBe(3);
});

test("a job that nothing waits for hides a document without one until all are looked at", async () => {
  await producer.addDocuments(project, [await planned("a.md")], "bulk");
  await producer.addDocuments(project, [{ version: 1, project, documentId: "d".repeat(32), generation: "e".repeat(24) }], "bulk");
  await planned("lost.md");
  await sweepOnce();
  expect(await waiting()).toBe(3);
  expect(await redis.ttl("millrace:lease:look")).toBeGreaterThan(50);
});
