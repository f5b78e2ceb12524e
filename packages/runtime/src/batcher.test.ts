import { describe, expect, test, vi } from "vitest";
import { Batcher, type BatcherOptions } from "./batcher.ts";

const signal = new AbortController().signal;

/** A batcher whose batches end when they are told to. */
function controlled(
  options: { sizeMax?: number; inFlightMax?: number; inFlightAllMax?: number; linger?: BatcherOptions<string, string>["linger"] } = {},
) {
  const batches: { requests: readonly string[]; finish: (error?: Error) => void }[] = [];
  const batcher = new Batcher<string, string>({
    send: (requests) =>
      new Promise((resolve, reject) => {
        batches.push({
          requests,
          finish: (error) => (error === undefined ? resolve(requests.map((each) => each.toUpperCase())) : reject(error)),
        });
      }),
    kindOf: (request) => request.slice(0, 1),
    sizeMax: options.sizeMax ?? 8,
    inFlightMax: options.inFlightMax ?? 1,
    inFlightAllMax: () => options.inFlightAllMax ?? 8,
    ...(options.linger === undefined ? {} : { linger: options.linger }),
    isOneToBlame: (error) => (error as Error).message === "one is wrong",
  });
  return { batcher, batches };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("what is asked in one turn goes together, what comes meanwhile goes next, each with its own reply", async () => {
  const { batcher, batches } = controlled();
  const first = [batcher.ask("a1", signal), batcher.ask("a2", signal)];
  await turn();
  const second = [batcher.ask("a3", signal), batcher.ask("a4", signal)];
  await turn();
  expect(batches.map(({ requests }) => requests)).toEqual([["a1", "a2"]]);
  batches[0]?.finish();
  expect(await Promise.all(first)).toEqual(["A1", "A2"]);
  await turn();
  expect(batches[1]?.requests).toEqual(["a3", "a4"]);
  batches[1]?.finish();
  expect(await Promise.all(second)).toEqual(["A3", "A4"]);
  expect(batcher.counts).toEqual({ requests: 4, batches: 2 });
});

test("kinds never mix, and one kind does not wait for another; no batch is larger than allowed", async () => {
  const { batcher, batches } = controlled({ sizeMax: 2 });
  const asked = ["a1", "b1", "a2", "a3"].map((each) => batcher.ask(each, signal));
  await turn();
  expect(batches.map(({ requests }) => requests)).toEqual([["a1", "a2"], ["b1"]]);
  for (const { finish } of batches) finish();
  await turn();
  expect(batches[2]?.requests).toEqual(["a3"]);
  batches[2]?.finish();
  expect(await Promise.all(asked)).toEqual(["A1", "B1", "A2", "A3"]);
});

test("no more are in flight than allowed for all kinds together, and kinds take turns", async () => {
  const { batcher, batches } = controlled({ sizeMax: 1, inFlightMax: 2, inFlightAllMax: 2 });
  const asked = ["a1", "a2", "a3", "b1", "c1"].map((each) => batcher.ask(each, signal));
  await turn();
  expect(batches).toHaveLength(2);
  for (let done = 0; done < asked.length; done++) {
    batches[done]?.finish();
    await turn();
    expect(batches).toHaveLength(Math.min(asked.length, done + 3));
  }
  expect(await Promise.all(asked)).toEqual(["A1", "A2", "A3", "B1", "C1"]);
  expect(batches.map(({ requests }) => requests[0])).toEqual(["a1", "a2", "b1", "c1", "a3"]);
});

test("a failure goes to all of the batch; one that a single request is to blame for, to that one alone", async () => {
  const { batcher, batches } = controlled();
  const asked = [batcher.ask("a1", signal), batcher.ask("a2", signal)];
  for (const each of asked) each.catch(() => undefined);
  await turn();
  batches[0]?.finish(new Error("outage"));
  await expect(asked[0]).rejects.toThrow("outage");
  await expect(asked[1]).rejects.toThrow("outage");

  const blamed = [batcher.ask("a3", signal), batcher.ask("a4", signal)];
  for (const each of blamed) each.catch(() => undefined);
  await turn();
  batches[1]?.finish(new Error("one is wrong"));
  await turn();
  batches[2]?.finish(new Error("one is wrong"));
  await turn();
  batches[3]?.finish();
  await expect(blamed[0]).rejects.toThrow("one is wrong");
  expect(await blamed[1]).toBe("A4");
});

test("a caller that gives up while it waits is not sent", async () => {
  const { batcher, batches } = controlled();
  const first = batcher.ask("a1", signal);
  await turn();
  const leaving = new AbortController();
  const second = batcher.ask("a2", leaving.signal);
  const third = batcher.ask("a3", signal);
  leaving.abort(new Error("gone"));
  await expect(second).rejects.toThrow("gone");
  batches[0]?.finish();
  await first;
  await turn();
  expect(batches[1]?.requests).toEqual(["a3"]);
  batches[1]?.finish();
  expect(await third).toBe("A3");
});

describe("those that wait when a batch comes back", () => {
  /** Takes `batchMs`, so that the next may linger half as long; `a2` waits from its beginning. */
  async function waitingBehind(batchMs: number, linger: { isMoreComing: (like: string) => boolean }) {
    const { batcher, batches } = controlled({ linger });
    const first = batcher.ask("a1", signal);
    await turn();
    const second = batcher.ask("a2", signal);
    await new Promise((resolve) => setTimeout(resolve, batchMs));
    batches[0]?.finish();
    await first;
    return { batcher, batches, second };
  }
  const replied = async (reply: Promise<string>, batches: readonly { finish: () => void }[]): Promise<string> => {
    await vi.waitFor(() => expect(batches).toHaveLength(2), { interval: 1 });
    batches[1]?.finish();
    return reply;
  };

  test("go together with those who come back, as long as more are on their way", async () => {
    let coming = true;
    const { batcher, batches, second } = await waitingBehind(2_000, { isMoreComing: (like) => like === "a2" && coming });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(batches).toHaveLength(1);
    const third = batcher.ask("a3", signal);
    coming = false;
    expect(await replied(second, batches)).toBe("A2");
    expect(batches[1]?.requests).toEqual(["a2", "a3"]);
    expect(await third).toBe("A3");
  });

  test("linger no longer than half of what the batch took, whatever is on its way", async () => {
    const { batches, second } = await waitingBehind(40, { isMoreComing: () => true });
    const since = performance.now();
    expect(await replied(second, batches)).toBe("A2");
    expect(performance.now() - since).toBeLessThan(1_000);
    expect(batches[1]?.requests).toEqual(["a2"]);
  });

  test("linger for an eighth of it where nothing is on its way", async () => {
    const { batcher, batches, second } = await waitingBehind(1_600, { isMoreComing: () => false });
    await turn();
    expect(batches).toHaveLength(1);
    const third = batcher.ask("a3", signal);
    expect(await replied(second, batches)).toBe("A2");
    expect(await third).toBe("A3");
  });
});

test("after a batch the next waits for company until its rest is over, unless it is full; one that comes later goes at once", async () => {
  const sent: (readonly number[])[] = [];
  const batcher = new Batcher<number, undefined>({
    send: async (requests) => {
      sent.push(requests);
      return requests.map(() => undefined);
    },
    sizeOf: (request) => request,
    sizeMax: 10,
    inFlightMax: 1,
    restMs: 60,
  });
  const since = performance.now();
  await batcher.ask(1, signal);
  expect(performance.now() - since).toBeLessThan(50); // nobody was there before it
  const waiting = batcher.ask(4, signal);
  await turn();
  await Promise.all([waiting, batcher.ask(5, signal)]);
  expect(performance.now() - since).toBeGreaterThan(55);
  expect(sent).toEqual([[1], [4, 5]]);

  const full = batcher.ask(6, signal);
  const next = batcher.ask(7, signal);
  await full;
  expect(performance.now() - since).toBeLessThan(110);
  expect(sent.at(-1)).toEqual([6]);
  await next;
  expect(sent.at(-1)).toEqual([7]);
});
