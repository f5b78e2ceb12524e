import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryCache } from "./memory-cache.ts";

const bytes = (size: number): Uint8Array => new Uint8Array(size);

test("drops what was used longest ago when it is full", () => {
  const cache = new MemoryCache({ bytesMax: 8 * 1_300 });
  for (let index = 0; index < 8; index++) cache.set(`k${index}`, bytes(1_000), 60_000);
  expect(cache.size).toBe(8);
  cache.get("k0");
  cache.set("k8", bytes(1_300 - 204), 60_000);
  cache.set("k9", bytes(1_000), 60_000);
  expect(cache.get("k1")).toBeUndefined();
  expect(cache.get("k0")).toBeDefined();
  expect(cache.get("k9")).toBeDefined();
});

test("an entry past its time is gone, and its bytes with it", async () => {
  const cache = new MemoryCache({ bytesMax: 10_000 });
  cache.set("k", bytes(100), 0);
  expect(cache.get("k")).toBeUndefined();
  expect(cache.bytes).toBe(0);
});

test("never holds more than its bytes, and counts them right", () => {
  const operation = fc.record({ key: fc.integer({ min: 0, max: 30 }), size: fc.integer({ min: 0, max: 2_000 }), get: fc.boolean() });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
      const cache = new MemoryCache({ bytesMax: 10_000 });
      const held = new Map<string, Uint8Array>();
      for (const { key, size, get } of operations) {
        if (get) {
          const value = cache.get(`k${key}`);
          if (value !== undefined) expect(value).toBe(held.get(`k${key}`));
        } else {
          const value = bytes(size);
          cache.set(`k${key}`, value, 60_000);
          held.set(`k${key}`, value);
        }
        expect(cache.bytes).toBeLessThanOrEqual(10_000);
      }
      let sum = 0;
      for (const [key] of held) {
        const value = cache.get(key);
        if (value !== undefined) sum += value.byteLength + 2 * key.length + 200;
      }
      expect(cache.bytes).toBe(sum);
    }),
  );
});
