import { expect, test } from "vitest";
import { prefetched } from "./prefetched.ts";

test("the next item is being made while one is worked on, and only the next", async () => {
  const begun: number[] = [];
  async function* numbers() {
    for (const number of [1, 2, 3]) {
      begun.push(number);
      yield number;
    }
  }
  const seen: number[] = [];
  for await (const number of prefetched(numbers())) {
    seen.push(number);
    expect(begun).toEqual([1, 2, 3].slice(0, number + 1));
  }
  expect(seen).toEqual([1, 2, 3]);
});

test("a failure to make the next one is thrown in its turn, and to nobody where it is not awaited", async () => {
  async function* failing() {
    yield 1;
    throw new Error("no second one");
  }
  const items = prefetched(failing());
  expect(await items.next()).toEqual({ done: false, value: 1 });
  await expect(items.next()).rejects.toThrow("no second one");

  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  process.on("unhandledRejection", onUnhandled);
  for await (const _ of prefetched(failing())) break;
  await new Promise(setImmediate);
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled).toEqual([]);
});
