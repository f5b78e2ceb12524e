import { expect, test, vi } from "vitest";
import { Batcher, type BatcherOptions } from "./batcher.ts";

const signal = new AbortController().signal;

/** A batcher whose batches end when they are told to. */
function controlled(
  options: { sizeMax?: number; inFlightMax?: number; inFlightAllMax?: number; lingerMs?: BatcherOptions<string, string>["lingerMs"] } = {},
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
    ...(options.lingerMs === undefined ? {} : { lingerMs: options.lingerMs }),
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

test("those that could leave wait on for as long as they are told to, and go together with those who come meanwhile", async () => {
  let asked = 0;
  let lingers = true;
  const lingerMs = vi.fn<NonNullable<BatcherOptions<string, string>["lingerMs"]>>(() => {
    asked++;
    return lingers ? 1 : 0;
  });
  const { batcher, batches } = controlled({ lingerMs });
  const first = batcher.ask("a1", signal);
  await turn();
  expect(batches).toHaveLength(1); // nobody was there before it
  const second = batcher.ask("a2", signal);
  batches[0]?.finish();
  await first;
  await vi.waitFor(() => expect(asked).toBeGreaterThan(2), { interval: 1 });
  expect(batches).toHaveLength(1);
  expect(lingerMs.mock.lastCall?.[0]).toMatchObject({ othersWaited: true });
  expect(lingerMs.mock.lastCall?.slice(1)).toEqual(["a2", 1]);
  const third = batcher.ask("a3", signal);
  lingers = false;
  await vi.waitFor(() => expect(batches).toHaveLength(2), { interval: 1 });
  expect(batches[1]?.requests).toEqual(["a2", "a3"]);
  batches[1]?.finish();
  expect(await Promise.all([second, third])).toEqual(["A2", "A3"]);
});

test("a batch that is full does not linger, also when it becomes full while it does; what a request counts is its owner's to say", async () => {
  const sent: (readonly number[])[] = [];
  const batcher = new Batcher<number, undefined>({
    send: async (requests) => {
      sent.push(requests);
      return requests.map(() => undefined);
    },
    sizeOf: (request) => request,
    sizeMax: 10,
    inFlightMax: 1,
    lingerMs: () => 3_600_000,
  });
  await batcher.ask(1, signal);
  const lingering = [batcher.ask(4, signal)];
  await turn();
  await turn();
  expect(sent).toEqual([[1]]);
  lingering.push(batcher.ask(6, signal));
  await Promise.all(lingering);
  expect(sent).toEqual([[1], [4, 6]]);
  const full = batcher.ask(6, signal);
  const next = new AbortController();
  const tooMuch = batcher.ask(7, next.signal);
  await full;
  expect(sent.at(-1)).toEqual([6]);
  next.abort(new Error("gone"));
  await expect(tooMuch).rejects.toThrow("gone");
});
