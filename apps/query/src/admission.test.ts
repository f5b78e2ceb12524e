import { expect, test } from "vitest";
import { Admission } from "./admission.ts";

const signal = new AbortController().signal;

/** Work that ends when it is told to. */
function controlled(admission: Admission) {
  const started: string[] = [];
  const finishers: (() => void)[] = [];
  const ask = (project: string, name: string, by: AbortSignal = signal): Promise<string> => {
    const work = (): Promise<string> => {
      started.push(name);
      return new Promise((resolve) => finishers.push(() => resolve(name)));
    };
    return admission.run(project, work, by);
  };
  const finishOne = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve)); // what may start has started
    finishers.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { started, ask, finishOne };
}

test("projects take turns, each in its own order", async () => {
  const { started, ask, finishOne } = controlled(new Admission({ runningMax: 1, waitingMax: 10, waitingPerProjectMax: 5 }));
  const all = [ask("a", "a1"), ask("a", "a2"), ask("a", "a3"), ask("b", "b1"), ask("b", "b2")];
  for (let index = 0; index < all.length; index++) await finishOne();
  expect(await Promise.all(all)).toEqual(["a1", "a2", "a3", "b1", "b2"]);
  expect(started).toEqual(["a1", "a2", "b1", "a3", "b2"]);
});

test("refuses beyond its places, at once and with a time to come back; a project alone cannot take them all", async () => {
  const admission = new Admission({ runningMax: 1, waitingMax: 3, waitingPerProjectMax: 2 });
  const { ask, finishOne } = controlled(admission);
  const taken = [ask("a", "a1"), ask("a", "a2"), ask("a", "a3")];
  await expect(ask("a", "a4")).rejects.toMatchObject({ status: 429, code: "search.project_overloaded", retryAfterSeconds: 1 });
  taken.push(ask("b", "b1"));
  await expect(ask("c", "c1")).rejects.toMatchObject({ status: 503, code: "search.overloaded", retryAfterSeconds: 1 });
  expect(admission.counts).toEqual({ overloaded: 1, projectOverloaded: 1 });
  for (let index = 0; index < taken.length; index++) await finishOne();
  await Promise.all(taken);
  expect([admission.running, admission.waiting]).toEqual([0, 0]);
});

test("one that leaves while it waits frees its place; one that fails hands its own on", async () => {
  const admission = new Admission({ runningMax: 1, waitingMax: 1, waitingPerProjectMax: 1 });
  const { ask, finishOne } = controlled(admission);
  const failing = admission.run("a", () => new Promise((_, reject) => setImmediate(() => reject(new Error("broken")))), signal);
  const leaving = new AbortController();
  const waiting = ask("a", "a1", leaving.signal);
  leaving.abort(new Error("gone"));
  await expect(waiting).rejects.toThrow("gone");
  const next = ask("b", "b1");
  await expect(failing).rejects.toThrow("broken");
  await finishOne();
  expect(await next).toBe("b1");
  expect([admission.running, admission.waiting]).toEqual([0, 0]);
});
