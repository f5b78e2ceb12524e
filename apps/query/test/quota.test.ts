import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseProjectName } from "@millrace/core";
import { connectRedis, createLogger } from "@millrace/runtime";
import { startRedis, type TestRedis } from "@millrace/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { QuotaRefusal } from "../src/quota/quota-headers.ts";
import type { Claim } from "../src/quota/quota-store.ts";
import { sliceMs, slicesPerWindow } from "../src/quota/quota-store.ts";
import { Quotas } from "../src/quota/quotas.ts";
import { RedisQuotaStore } from "../src/quota/redis-quota-store.ts";
import { noQuotas } from "./service.ts";

/** Quotas as several processes share them on a real Redis. */
let server: TestRedis;
let redis: ReturnType<typeof connectRedis>;
let store: RedisQuotaStore;
const children: ChildProcess[] = [];
const logger = createLogger("test", "silent");
const caller = { keyId: "k", project: parseProjectName("quota") };
let counter = 0;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, "service", () => undefined);
  store = new RedisQuotaStore(redis);
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  redis.disconnect();
  await server.stop();
});

const window = (max: number, cost = 1): Claim => ({ key: `{q}:${++counter}`, kind: "window", max, cost });
const lease = (max: number): Claim => ({ key: `{q}:${++counter}`, kind: "lease", max, cost: 1 });

async function startProcess(leaseMs = 30_000): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL("quota-process.mjs", import.meta.url)), {
    env: { ...process.env, REDIS_URL: server.url, LEASE_MS: String(leaseMs) },
  });
  children.push(child);
  await once(child, "message");
  return child;
}

/** When four processes were let in, while all of them take what they get; without a time, until each has been refused often. */
async function hammer(claims: readonly Claim[], ms = 50_000, pauseMs?: number): Promise<number[]> {
  const processes = await Promise.all([startProcess(), startProcess(), startProcess(), startProcess()]);
  const all = processes.map(async (child) => {
    child.send({ claims, ms, ...(pauseMs === undefined ? { refusalsMax: 200 } : { pauseMs }) });
    const [{ admittedAt }] = (await once(child, "message")) as [{ admittedAt: number[] }];
    child.kill();
    return admittedAt;
  });
  return (await Promise.all(all)).flat();
}

describe("four processes", () => {
  it("together are let in as often as the quota says, and every quota counts", async () => {
    const [key, project] = [window(1_000), window(100_000)];
    expect(await hammer([key, project])).toHaveLength(1_000);
    // What was refused was not taken of the others either.
    expect((await store.take([project], "")).states[0]?.remaining).toBe(100_000 - 1_000 - 1);
  });

  it("together use the tokens of a quota to less than one per cent, and never more", async () => {
    const tokens = window(100_000, 337);
    const used = (await hammer([tokens])).length * 337;
    expect(used).toBeLessThanOrEqual(100_000);
    expect(used).toBeGreaterThan(99_000);
  });

  it.runIf(process.env["MILLRACE_CHAOS"] === "full")(
    "for three minutes are let in as often as the quota says in each, wherever it begins",
    async () => {
      const max = 3_000;
      const times = (await hammer([window(max)], 185_000, 4)).sort((a, b) => a - b);
      let most = 0;
      for (let from = 0, to = 0; to < times.length; to++) {
        // Milliseconds between the reply's clock and that of Redis are left out at the ends.
        while ((times[to] ?? 0) - (times[from] ?? 0) >= 60_000 - 20) from++;
        most = Math.max(most, to - from + 1);
      }
      expect(most).toBeLessThanOrEqual(max);
      const minutes = 1 + Math.floor(185_000 / 60_500);
      expect(times.length).toBe(minutes * max);
    },
    240_000,
  );
});

describe("a window", () => {
  const fill = async (key: string, units: Readonly<Record<number, number>>): Promise<number> => {
    const [seconds, micros] = await redis.time();
    const slice = Math.floor((Number(seconds) * 1_000 + Number(micros) / 1_000) / sliceMs);
    const slices = Object.entries(units).map(([ago, count]) => [String(slice - Number(ago)), count] as const);
    const total = slices.reduce((sum, [, count]) => sum + count, 0);
    await redis.hset(key, { ...Object.fromEntries(slices), total, first: Math.min(...slices.map(([each]) => Number(each))) });
    return slice;
  };

  it("forgets what is older than a minute, and nothing that is not", async () => {
    const claim = window(100);
    await fill(claim.key, { [slicesPerWindow + 5]: 40, [slicesPerWindow + 2]: 20, [slicesPerWindow - 1]: 30, 3: 7 });
    const { isAdmitted, states } = await store.take([claim], "");
    expect(isAdmitted).toBe(true);
    expect(states[0]).toMatchObject({ remaining: 100 - 30 - 7 - 1 });
    expect(states[0]?.resetMs).toBeLessThanOrEqual(2 * sliceMs);
    await fill(claim.key, { [10 * slicesPerWindow]: 100 });
    expect((await store.take([claim], "")).states[0]).toMatchObject({ remaining: 99 });
  });

  it("says when there will be enough again", async () => {
    const claim = window(100, 50);
    await fill(claim.key, { [slicesPerWindow - 10]: 30, [slicesPerWindow - 20]: 30, 1: 40 });
    const { isAdmitted, retryMs, states } = await store.take([claim], "");
    expect(isAdmitted).toBe(false);
    expect(states[0]).toMatchObject({ isRefused: true, remaining: 0 });
    // Both older slices must leave: the younger of them in 21 slices.
    expect(retryMs).toBeGreaterThan(19 * sliceMs);
    expect(retryMs).toBeLessThanOrEqual(21 * sliceMs);
  });

  it("gets back what was not used", async () => {
    const claim = window(1_000, 900);
    const { slice } = await store.take([claim], "");
    await store.settle([claim.key], slice, -800);
    expect((await store.take([{ ...claim, cost: 0 }], "")).states[0]).toMatchObject({ remaining: 900 });
  });
});

describe("streams", () => {
  it("of a process that is killed are given back when their lease runs out, and not before", async () => {
    const claim = lease(6);
    const mine = new RedisQuotaStore(redis, { leaseMs: 4_000 });
    await mine.take([claim], "mine");
    const child = await startProcess(4_000);
    child.send({ claims: [claim], ms: 60_000 });
    await vi.waitFor(async () => expect((await mine.take([claim], "another")).isAdmitted).toBe(false), 20_000);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect((await mine.take([claim], "another")).isAdmitted).toBe(false);
    // Those of the living are renewed, and stay.
    const poll = async (): Promise<boolean> => {
      await mine.renew([{ keys: [claim.key], leaseId: "mine" }]);
      return (await mine.take([claim], "another")).isAdmitted;
    };
    await expect.poll(poll, { timeout: 30_000 }).toBe(true);
  });

  it("are kept as long as their process lives, and given back at their end", async () => {
    const brief = new RedisQuotaStore(redis, { leaseMs: 2_000 });
    const quotas = new Quotas(brief, { ...noQuotas, key: { ...noQuotas.key, streams: 2 } }, logger);
    const tickets = [await quotas.admitQuestion(caller, { stream: true }), await quotas.admitQuestion(caller, { stream: true })];
    expect(tickets[1]?.headers["ratelimit"]).toBe('"key-streams";r=0');
    const third = (): Promise<unknown> => quotas.admitQuestion(caller, { stream: true });
    const until = performance.now() + 3_500;
    await expect.poll(() => performance.now() > until, { timeout: 10_000 }).toBe(true);
    await expect(third()).rejects.toMatchObject({ status: 429, code: "quota.streams" });
    await quotas.admitQuestion(caller, { stream: false });
    tickets[0]?.end();
    await third();
    quotas.close();
  });
});

describe("while Redis is away", () => {
  it("questions are counted by each process, up to its share, and searches go on", async () => {
    const own = await startRedis();
    const connection = connectRedis(own.url, "service", () => undefined);
    const config = { ...noQuotas, key: { requests: 100, tokens: 0, streams: 0, searches: 1 } };
    const quotas = new Quotas(new RedisQuotaStore(connection), config, logger);
    await quotas.admitQuestion(caller, { stream: false });
    await own.kill();
    let admitted = 0;
    const refused = await (async () => {
      for (;;) {
        try {
          await quotas.admitQuestion(caller, { stream: false });
          admitted++;
        } catch (error) {
          return error;
        }
      }
    })();
    expect(admitted).toBe(25);
    expect(refused).toBeInstanceOf(QuotaRefusal);
    for (let search = 0; search < 3; search++) expect(await quotas.admitSearch(caller)).toEqual({});
    expect(quotas.failures).toBeGreaterThan(0);
    await own.restart();
    await expect
      .poll(
        () =>
          quotas.admitQuestion(caller, { stream: false }).then(
            () => true,
            () => false,
          ),
        { timeout: 10_000 },
      )
      .toBe(true);
    await expect
      .poll(async () => (await quotas.admitSearch(caller))?.["ratelimit"], { timeout: 5_000 })
      .toMatch(/"key-searches";r=0;t=\d+/);
    await expect(quotas.admitSearch(caller)).rejects.toMatchObject({ code: "quota.searches" });
    connection.disconnect();
    await own.stop();
  }, 90_000);
});
