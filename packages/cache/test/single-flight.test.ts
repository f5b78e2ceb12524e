import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { connectRedis } from "@millrace/runtime";
import { startRedis, type TestRedis } from "@millrace/testing";
import type { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CacheRedis, type FlightCounts, SingleFlight } from "../src/index.ts";

let server: TestRedis;
let connection: Redis;
let flights: SingleFlight;
const signal = new AbortController().signal;

beforeEach(async () => {
  server = await startRedis();
  connection = connectRedis(server.url, "cache", () => undefined);
  await new Promise((resolve) => connection.once("ready", resolve));
  flights = new SingleFlight({ redis: new CacheRedis(connection), lockTtlMs: 1_000 });
});
afterEach(async () => {
  connection.disconnect();
  await server.stop();
});

/** A computation that waits to be told how it ends. */
function controlled() {
  let computations = 0;
  let finish = (_: string | Error): void => undefined;
  const outcome = new Promise<string>((resolve, reject) => {
    finish = (how) => (how instanceof Error ? reject(how) : resolve(how));
  });
  outcome.catch(() => undefined);
  let begin = (_: AbortSignal): void => undefined;
  const begun = new Promise<AbortSignal>((resolve) => {
    begin = resolve;
  });
  const flight = {
    read: async () => undefined,
    compute: (shared: AbortSignal) => {
      computations++;
      begin(shared);
      return outcome;
    },
  };
  return { flight, begun, finish, computations: () => computations };
}

test("many callers of one process share one computation", async () => {
  const { flight, begun, finish, computations } = controlled();
  const callers = Array.from({ length: 100 }, () => flights.run("k", flight, signal));
  await begun;
  finish("value");
  expect(new Set((await Promise.all(callers)).map(({ value }) => value))).toEqual(new Set(["value"]));
  expect(computations()).toBe(1);
  expect(flights.counts).toEqual({ led: 1, joined: 99, followed: 0 });
});

test("a failure goes to all who wait, and the next caller computes again", async () => {
  const { flight, begun, finish } = controlled();
  const callers = [flights.run("k", flight, signal), flights.run("k", flight, signal)];
  await begun;
  finish(new Error("the store is away"));
  for (const caller of callers) await expect(caller).rejects.toThrow("the store is away");
  const again = await flights.run("k", { read: async () => undefined, compute: async () => "better" }, signal);
  expect(again).toEqual({ value: "better", role: "led" });
});

test("a caller that leaves takes nothing from the others; when the last has left, the work is told to stop", async () => {
  const { flight, begun } = controlled();
  const [first, second] = [new AbortController(), new AbortController()];
  const callers = [flights.run("k", flight, first.signal), flights.run("k", flight, second.signal)];
  const shared = await begun;
  first.abort(new Error("gone"));
  await expect(callers[0]).rejects.toThrow("gone");
  expect(shared.aborted).toBe(false);
  second.abort(new Error("gone too"));
  await expect(callers[1]).rejects.toThrow("gone too");
  expect(shared.aborted).toBe(true);
});

test("without the cache Redis it is computed all the same", async () => {
  process.kill(server.pid, "SIGSTOP");
  expect(await flights.run("k", { read: async () => undefined, compute: async () => "own" }, signal)).toEqual({
    value: "own",
    role: "led",
  });
  process.kill(server.pid, "SIGCONT");
});

const script = fileURLToPath(new URL("./flight-process.mjs", import.meta.url));

/** Waits for the first message that is of interest; fails when the process ends before. */
function message<T>(child: ChildProcess, wanted: (message: unknown) => boolean): Promise<T> {
  return new Promise((resolve, reject) => {
    child.on("message", (value) => {
      if (wanted(value)) resolve(value as T);
    });
    child.once("exit", (code, signalName) => reject(new Error(`the process ended with ${code ?? signalName}`)));
  });
}

async function startProcess(callers: number, computeMs: number) {
  const child = fork(script, [server.url, String(callers), String(computeMs)]);
  const result = message<{ values: string[]; counts: FlightCounts }>(child, (value) => typeof value === "object");
  result.catch(() => undefined); // one is killed on purpose
  const computing = message(child, (value) => value === "computing");
  computing.catch(() => undefined);
  await message(child, (value) => value === "ready");
  return { child, result, computing, go: () => child.send("go") };
}

test("1,000 callers in 4 processes compute once", async () => {
  const processes = await Promise.all(Array.from({ length: 4 }, () => startProcess(250, 100)));
  for (const each of processes) each.go();
  const results = await Promise.all(processes.map(({ result }) => result));
  expect(results.flatMap(({ values }) => values)).toHaveLength(1_000);
  expect(new Set(results.flatMap(({ values }) => values))).toEqual(new Set(["computed 1"]));
  const sum = (role: keyof FlightCounts): number => results.reduce((total, { counts }) => total + counts[role], 0);
  expect(sum("led")).toBe(1);
  expect(sum("followed")).toBe(3);
});

test("when the process that computes is killed, another takes over within the life of the lock", async () => {
  const [doomed, heir] = [await startProcess(1, 60_000), await startProcess(10, 10)];
  doomed.go();
  await doomed.computing;
  heir.go();
  doomed.child.kill("SIGKILL");
  const startedAt = performance.now();
  expect(new Set((await heir.result).values)).toEqual(new Set(["computed 1"]));
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});

test("a lock that was taken although its reply came too late is given back", async () => {
  const cache = new CacheRedis(connection, { openMs: 20, timeoutMs: 100 });
  const patient = new SingleFlight({ redis: cache, lockTtlMs: 60_000 });
  const { flight, begun, finish } = controlled();
  process.kill(server.pid, "SIGSTOP");
  const caller = patient.run("k", flight, signal);
  await begun; // without a word of Redis
  process.kill(server.pid, "SIGCONT");
  await expect.poll(() => connection.exists("k:flight"), { timeout: 5_000 }).toBe(1);
  await expect.poll(() => cache.attempt((redis) => redis.ping()), { timeout: 5_000 }).toBe("PONG");
  finish("value");
  expect((await caller).value).toBe("value");
  await expect.poll(() => connection.exists("k:flight"), { timeout: 5_000 }).toBe(0);
});
