import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

const { signal } = new AbortController();

/** A task that runs until told to end, and what has run so far. */
function bench() {
  const turns = new Turns();
  const running: string[] = [];
  const ends = new Map<string, () => void>();
  const task = (name: string) => () =>
    new Promise<void>((resolve) => {
      running.push(name);
      ends.set(name, () => {
        running.splice(running.indexOf(name), 1);
        resolve();
      });
    });
  const end = async (name: string) => {
    ends.get(name)?.();
    await settle();
  };
  return { turns, running, task, end };
}

/** Everything here is microtasks: one turn of the event loop is after all of them. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("what goes alone waits for those that run, keeps back those that come after it, and goes by rank", async () => {
  const { turns, running, task, end } = bench();
  const all = [turns.together(task("a"), signal), turns.together(task("b"), signal)];
  all.push(turns.alone(5, task("worse"), signal), turns.alone(2, task("bad"), signal), turns.together(task("c"), signal));
  await settle();
  expect(running).toEqual(["a", "b"]);
  await end("a");
  expect(running).toEqual(["b"]);
  await end("b");
  expect(running).toEqual(["bad"]);
  await end("bad");
  expect(running).toEqual(["worse"]);
  all.push(turns.together(task("d"), signal));
  await end("worse");
  expect(running).toEqual(["c", "d"]);
  await end("c");
  await end("d");
  await Promise.all(all);
});

test("who gives up while it waits leaves its place, and who fails too", async () => {
  const { turns, running, task, end } = bench();
  const leaving = new AbortController();
  const first = turns.together(task("first"), signal);
  const gone = turns.alone(1, task("gone"), leaving.signal);
  const second = turns.together(task("second"), signal);
  await settle();
  expect(running).toEqual(["first"]);
  leaving.abort(new Error("left"));
  await expect(gone).rejects.toThrow("left");
  expect(running).toEqual(["first", "second"]);
  await end("first");
  await end("second");
  await Promise.all([first, second]);
  await expect(turns.alone(1, () => Promise.reject(new Error("failed")), signal)).rejects.toThrow("failed");
  expect(await turns.together(() => Promise.resolve("next"), signal)).toBe("next");
});
