import { expect, it } from "vitest";
import { InFlight } from "./in-flight.ts";

it("runs as many tasks side by side as it may, and no more", async () => {
  const inFlight = new InFlight(2);
  const ends: (() => void)[] = [];
  const begun: number[] = [];
  const task = (number: number) => () => {
    begun.push(number);
    return new Promise<void>((resolve) => ends.push(resolve));
  };
  await inFlight.add(task(1));
  await inFlight.add(task(2));
  const third = inFlight.add(task(3));
  await Promise.resolve();
  expect(begun).toEqual([1, 2]);
  ends[1]?.();
  await third;
  expect(begun).toEqual([1, 2, 3]);
  for (const end of ends) end();
  await inFlight.finish();
});

it("passes a failure on to the next task and to the end, and waits for what runs", async () => {
  const inFlight = new InFlight(2);
  let slowEnded = false;
  const ends: (() => void)[] = [];
  await inFlight.add(async () => {
    await new Promise<void>((resolve) => ends.push(resolve));
    slowEnded = true;
  });
  await inFlight.add(() => Promise.reject(new Error("lost")));
  await expect(inFlight.add(() => Promise.resolve())).rejects.toThrow("lost");
  const settled = inFlight.settle();
  ends[0]?.();
  await settled;
  expect(slowEnded).toBe(true);
  await expect(inFlight.finish()).rejects.toThrow("lost");
});
