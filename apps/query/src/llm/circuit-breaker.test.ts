import { expect, test } from "vitest";
import { CircuitBreaker } from "./circuit-breaker.ts";

test("opens after failures in a row, lets one try after a while, and waits longer after each that fails", () => {
  let now = 0;
  const breaker = new CircuitBreaker(() => now);
  for (let call = 0; call < 3; call++) {
    expect(breaker.admit()).toBe(true);
    breaker.failed();
  }
  expect([breaker.state, breaker.admit()]).toEqual(["open", false]);
  now = 2_000;
  expect([breaker.state, breaker.admit(), breaker.admit()]).toEqual(["half-open", true, false]);
  breaker.failed();
  now = 5_999;
  expect(breaker.admit()).toBe(false);
  now = 6_000;
  expect(breaker.admit()).toBe(true);
  breaker.undecided();
  expect([breaker.admit(), breaker.admit()]).toEqual([true, false]);
  breaker.succeeded();
  expect([breaker.state, breaker.admit(), breaker.admit()]).toEqual(["closed", true, true]);
});

test("a success in between starts the count anew", () => {
  const breaker = new CircuitBreaker(() => 0);
  for (const outcome of ["failed", "failed", "succeeded", "failed", "failed"] as const) breaker[outcome]();
  expect(breaker.state).toBe("closed");
});
