import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Pulse } from "./pulse.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A server that does one thing at a time: while it searches it tells nobody its version. */
const busy = () => new Promise<never>(() => undefined);

function answerAfter(ms: number): Promise<string> {
  return new Promise((resolve) => {
    setTimeout(() => resolve("hits"), ms);
  });
}

/** How a call ends, and after how many milliseconds. */
async function outcome(pulse: Pulse, call: Promise<string>, ask: () => Promise<unknown> = busy): Promise<[string, number]> {
  const since = performance.now();
  let ended: [string, number] | undefined;
  const end = (how: string): void => {
    ended = [how, performance.now() - since];
  };
  pulse.guard(call, ask).then(end, () => end("silent"));
  while (ended === undefined) await vi.advanceTimersByTimeAsync(10);
  return ended;
}

test("a server that never answers is known to be gone within a second", async () => {
  const [how, ms] = await outcome(new Pulse(), busy());
  expect(how).toBe("silent");
  expect(ms).toBeLessThan(800);
});

test("a slow call is waited for while the server answers others", async () => {
  expect(await outcome(new Pulse(), answerAfter(5_000), () => answerAfter(20))).toEqual(["hits", 5_000]);
});

test("a server that turns out to be slow is given its time from then on, and a dead one is still found out", async () => {
  const pulse = new Pulse();
  expect((await outcome(pulse, answerAfter(900)))[0]).toBe("silent");
  await vi.advanceTimersByTimeAsync(300);
  pulse.connected();
  expect(await outcome(pulse, answerAfter(900))).toEqual(["hits", 900]);
  expect(await outcome(pulse, answerAfter(2_000))).toEqual(["hits", 2_000]);
  const [how, ms] = await outcome(pulse, busy());
  expect(how).toBe("silent");
  expect(ms).toBeLessThan(3 * 2_000 + 200);
});

test("an outage that ended teaches no patience, and slowness is forgotten", async () => {
  const pulse = new Pulse();
  await outcome(pulse, busy());
  await vi.advanceTimersByTimeAsync(10_000);
  pulse.connected();
  expect((await outcome(pulse, busy()))[1]).toBeLessThan(800);

  const slow = new Pulse();
  expect(await outcome(slow, answerAfter(500))).toEqual(["hits", 500]);
  expect((await outcome(slow, busy()))[1]).toBeGreaterThan(1_000);
  await vi.advanceTimersByTimeAsync(120_000);
  expect((await outcome(slow, busy()))[1]).toBeLessThan(800);
});
