import fc from "fast-check";
import { expect, it } from "vitest";
import { LocalQuotaStore } from "./local-quota-store.ts";
import { windowMs } from "./quota-store.ts";

it("lets no more in than the quota, in any minute, and those who always ask get it to less than one per cent", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.integer({ min: 0, max: 9_000 }), { maxLength: 120 }),
      async (max, pauses) => {
        let now = 0;
        const store = new LocalQuotaStore(() => now);
        const admitted: number[] = [];
        for (const pause of pauses) {
          now += pause;
          if ((await store.take([{ key: "q", kind: "window", max, cost: 1 }], "")).isAdmitted) admitted.push(now);
        }
        for (const from of admitted) {
          expect(admitted.filter((at) => at >= from && at < from + windowMs).length).toBeLessThanOrEqual(max);
        }
      },
    ),
  );
  let now = 0;
  const store = new LocalQuotaStore(() => now);
  let admitted = 0;
  for (; now < 100 * windowMs; now += 100) {
    while ((await store.take([{ key: "q", kind: "window", max: 50, cost: 1 }], "")).isAdmitted) admitted++;
  }
  expect(admitted).toBeGreaterThanOrEqual(100 * 50 * 0.99);
  expect(admitted).toBeLessThanOrEqual(100 * 50);
});

it("says when to come back, so that whoever does is let in", async () => {
  let now = 0;
  const store = new LocalQuotaStore(() => now);
  const claim = { key: "q", kind: "window", max: 3, cost: 1 } as const;
  for (; now < 9_000; now += 3_000) await store.take([claim], "");
  const { retryMs } = await store.take([claim], "");
  now += retryMs - 1;
  expect((await store.take([claim], "")).isAdmitted).toBe(false);
  now += 1;
  expect((await store.take([claim], "")).isAdmitted).toBe(true);
});
