import { once } from "node:events";
import { parseProjectName } from "@millrace/core";
import { connectRedis, createLogger } from "@millrace/runtime";
import { type FaultProxy, startFaultProxy, startRedis, type TestRedis } from "@millrace/testing";
import { Worker } from "bullmq";
import { afterAll, beforeAll, expect, test } from "vitest";
import { catalog, queuePrefix, stallSettings } from "../src/catalog.ts";
import { Consumer, type DocumentJob, Producer } from "../src/index.ts";

const project = parseProjectName("watched");
let redis: TestRedis;
let proxy: FaultProxy;

beforeAll(async () => {
  redis = await startRedis();
  proxy = await startFaultProxy(redis.port);
});
afterAll(async () => {
  await proxy.close();
  await redis.stop();
});

function job(number: number): DocumentJob {
  return { version: 1, project, documentId: String(number).padStart(32, "0"), generation: `generation-${number}` };
}

test("a worker that has stopped consuming, though its connection looks well, is replaced by one that goes on", async () => {
  const connection = connectRedis(redis.url, "queue", () => undefined);
  const producer = new Producer(connection);
  const handled = new EventTarget();
  let connections = 0;
  const consumer = new Consumer({
    name: "documents",
    // The first worker goes through the proxy; whether there is work is asked on a connection that is well.
    connect: () => connectRedis(connections++ === 0 ? `redis://127.0.0.1:${proxy.port}` : redis.url, "worker", () => undefined),
    producer,
    concurrency: 1,
    logger: createLogger("test", "silent"),
    handle: async ({ documentId }) => void handled.dispatchEvent(new Event(documentId)),
  });
  consumer.start();
  const take = async (number: number): Promise<void> => {
    const taken = once(handled, job(number).documentId);
    await producer.addDocuments(project, [job(number)], "bulk");
    await taken;
  };
  await take(1);
  expect(consumer.replacements).toBe(0);
  // What it waits for is lost on the way, and no error tells it.
  proxy.mode = "black-hole";
  const startedAt = performance.now();
  await take(2);
  expect(performance.now() - startedAt).toBeLessThan(10_000);
  expect(consumer.replacements).toBe(1);
  await take(3);
  await consumer.close(1_000);
  await producer.close();
  connection.disconnect();
});

test("a job given to a worker that never heard of it is worked on within 10 s", { timeout: 20_000 }, async () => {
  const connection = connectRedis(redis.url, "queue", () => undefined);
  const producer = new Producer(connection);
  const lost = new Worker("documents", null, {
    connection: connectRedis(redis.url, "worker", () => undefined),
    prefix: queuePrefix,
    ...stallSettings,
  });
  await producer.addDocuments(project, [job(4)], "bulk");
  expect(await lost.getNextJob("a token that nobody renews")).toBeDefined();
  const startedAt = performance.now();
  const handled = new EventTarget();
  const consumer = new Consumer({
    name: "documents",
    connect: () => connectRedis(redis.url, "worker", () => undefined),
    producer,
    concurrency: 1,
    logger: createLogger("test", "silent"),
    handle: async ({ documentId }) => void handled.dispatchEvent(new Event(documentId)),
  });
  const taken = once(handled, job(4).documentId);
  consumer.start();
  await taken;
  expect(performance.now() - startedAt).toBeLessThan(10_000);
  await consumer.close(1_000);
  await lost.close(true);
  await producer.close();
  connection.disconnect();
});

test("of ended jobs no more are kept than the catalog says", async () => {
  const connection = connectRedis(redis.url, "queue", () => undefined);
  const producer = new Producer(connection);
  const { count } = catalog.maintenance.kept.removeOnComplete;
  const projects = Array.from({ length: count + 20 }, (_, index) => parseProjectName(`kept-${index}`));
  let handled = 0;
  const consumer = new Consumer({
    name: "maintenance",
    connect: () => connectRedis(redis.url, "worker", () => undefined),
    producer,
    concurrency: 1,
    logger: createLogger("test", "silent"),
    handle: async () => void handled++,
  });
  consumer.start();
  await Promise.all(projects.map((each) => producer.addCollection(each)));
  await expect.poll(() => handled, { timeout: 10_000 }).toBe(projects.length);
  await consumer.close(1_000);
  const queue = producer.queues.find(({ name }) => name === "maintenance");
  expect(await queue?.getCompletedCount()).toBe(count);
  await producer.close();
  connection.disconnect();
});
