import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { DependencyError } from "@millrace/core";
import { startRedis, type TestRedis } from "@millrace/testing";
import { RedisWriterLane } from "@millrace/vector-store";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

const key = "{test}:lane";
const signal = new AbortController().signal;
let server: TestRedis;
let redis: Redis;
const children: ChildProcess[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
beforeEach(() => redis.flushall());
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const open = (leaseMs = 10_000, waitMsMax = 60_000): RedisWriterLane => new RedisWriterLane({ redis, key, leaseMs, waitMsMax });

function startProcess(leaseMs: number, mode: "hold" | number): ChildProcess {
  const child = fork(fileURLToPath(new URL("./hold-lane.mjs", import.meta.url)), [server.url, key, String(leaseMs), String(mode)]);
  children.push(child);
  return child;
}

async function messageFrom(child: ChildProcess): Promise<unknown> {
  const [message] = await once(child, "message");
  return message;
}

/** Enters the lane and stays until `leave` is called. */
async function hold(lane: RedisWriterLane): Promise<{ token: number; leave(): void; readonly done: Promise<void> }> {
  let leave: () => void = () => undefined;
  const left = new Promise<void>((resolve) => (leave = resolve));
  let done: Promise<void> = Promise.resolve();
  const token = await new Promise<number>((resolve, reject) => {
    done = lane.run(async (granted) => {
      resolve(granted);
      await left;
    }, signal);
    done.catch(reject);
  });
  return { token, leave, done };
}

describe("RedisWriterLane", () => {
  it("lets one in at a time within a process, in order, with rising tokens", async () => {
    const lane = open();
    let inside = 0;
    const order: number[] = [];
    const tokens: number[] = [];
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        lane.run(async (token) => {
          expect(++inside).toBe(1);
          await redis.ping();
          order.push(index);
          tokens.push(token);
          inside--;
        }, signal),
      ),
    );
    expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(tokens).toEqual([...tokens].sort((a, b) => a - b));
    expect(new Set(tokens).size).toBe(20);
    expect(await redis.exists(key)).toBe(0);
  });

  it("goes on after a write that failed", async () => {
    const lane = open();
    await expect(lane.run(() => Promise.reject(new Error("no")), signal)).rejects.toThrow("no");
    expect(await lane.run(async () => "next", signal)).toBe("next");
  });

  it("lets one in at a time between processes, and none starves", async () => {
    const turns = 40;
    const processes = [startProcess(10_000, turns), startProcess(10_000, turns), startProcess(10_000, turns)];
    await Promise.all(processes.map(messageFrom));
    const done = Promise.all(processes.map(messageFrom));
    for (const child of processes) child.send("go");
    await done;
    const log = await redis.lrange("log", 0, -1);
    expect(log).toHaveLength(2 * 3 * turns);
    const holders: string[] = [];
    let lastToken = 0;
    for (let i = 0; i < log.length; i += 2) {
      const [, token, pid] = log[i]?.split(" ") ?? [];
      expect(log[i]).toBe(`in ${token} ${pid}`);
      expect(log[i + 1]).toBe(`out ${token} ${pid}`);
      expect(Number(token)).toBeGreaterThan(lastToken);
      lastToken = Number(token);
      holders.push(pid ?? "");
    }
    // While all three want in, nobody may pass again and again: look at the stretch before the first of them was through.
    const firstDone = Math.min(...new Set(holders.map((pid) => holders.lastIndexOf(pid))));
    const together = holders.slice(Math.max(...new Set(holders.map((pid) => holders.indexOf(pid)))), firstDone);
    const repeats = together.filter((pid, index) => index > 0 && pid === together[index - 1]).length;
    expect(together.length).toBeGreaterThan(20);
    expect(repeats / together.length).toBeLessThan(0.2);
  });

  it("is free again within the lease after its holder was killed", async () => {
    const child = startProcess(1_000, "hold");
    const { token } = (await messageFrom(child)) as { token: number };
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    const killedAt = performance.now();
    const next = await open().run(async (granted) => granted, signal);
    expect(next).toBe(token + 1);
    expect(performance.now() - killedAt).toBeLessThan(3_000);
  });

  it("fails the write of a holder that was paused past its lease", async () => {
    const child = startProcess(300, "hold");
    await messageFrom(child);
    child.kill("SIGSTOP");
    // Enters once the paused one's lease has run out, and stays.
    const successor = await hold(open());
    const outcome = messageFrom(child);
    child.kill("SIGCONT");
    child.send("finish");
    expect(await outcome).toEqual({ outcome: "store.lane_lost" });
    // The loser has not deleted the lock of its successor.
    expect(await redis.exists(key)).toBe(1);
    successor.leave();
    await successor.done;
  });

  it("notices a lock that was taken from it", async () => {
    const holder = await hold(open(300));
    await redis.set(key, "somebody else", "PX", 60_000);
    await expect.poll(() => redis.pttl(key)).toBeLessThan(59_700); // a renewal was due by now
    holder.leave();
    await expect(holder.done).rejects.toMatchObject({ code: "store.lane_lost", retryable: true });
    expect(await redis.get(key)).toBe("somebody else");
  });

  it("keeps its lease for as long as the write takes", async () => {
    const holder = await hold(open(150));
    const other = open(150, 600);
    await expect(other.run(async () => undefined, signal)).rejects.toMatchObject({ code: "store.busy", retryable: true });
    holder.leave();
    await holder.done;
    expect(await other.run(async () => "in", signal)).toBe("in");
  });

  it("leaves the lock to run out when the outcome of the write is unknown", async () => {
    const lane = open(200);
    const timeout = new DependencyError("store.timeout", "no answer");
    await expect(lane.run(() => Promise.reject(timeout), signal)).rejects.toBe(timeout);
    expect(await redis.exists(key)).toBe(1);
    expect(await lane.run(async () => "in", signal)).toBe("in");
  });

  it("gives up waiting when aborted, and a write that was begun still keeps the lane", async () => {
    const lane = open();
    const controller = new AbortController();
    const reason = new Error("enough");
    let finish: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => {
      const write = lane.run(async () => {
        resolve();
        await new Promise<void>((done) => (finish = done));
      }, controller.signal);
      write.catch((error) => expect(error).toBe(reason));
    });
    await begun;
    const waiting = lane.run(async () => expect.unreachable(), controller.signal);
    const next = lane.run(async () => "next", signal);
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(await redis.exists(key)).toBe(1);
    finish();
    expect(await next).toBe("next");
  });

  it("says so when Redis does not answer", async () => {
    const away = new Redis(1, { maxRetriesPerRequest: 0, retryStrategy: () => null, lazyConnect: true });
    away.on("error", () => undefined);
    const lane = new RedisWriterLane({ redis: away, key });
    await expect(lane.run(async () => undefined, signal)).rejects.toMatchObject({ code: "store.lane_unavailable", retryable: true });
  });
});
