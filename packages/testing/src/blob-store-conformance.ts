import { type BlobStore, contentHashOf } from "@millrace/core";
import { describe, expect, test } from "vitest";

/** The contract of the BlobStore port. `open` answers with an empty store of its own for every test. */
export function describeBlobStore(name: string, open: () => Promise<BlobStore>): void {
  const { signal } = new AbortController();
  const bytes = Uint8Array.from([0, 1, 2, 253, 254, 255]);
  const hash = contentHashOf(bytes);

  describe(`BlobStore: ${name}`, () => {
    test("gives back the very bytes that were put", async () => {
      const store = await open();
      await store.put(hash, bytes, signal);
      expect(Buffer.from(await store.get(hash, signal))).toEqual(Buffer.from(bytes));
    });

    test("keeps a blob of no bytes", async () => {
      const store = await open();
      const empty = new Uint8Array(0);
      await store.put(contentHashOf(empty), empty, signal);
      expect((await store.get(contentHashOf(empty), signal)).byteLength).toBe(0);
    });

    test("is not changed by a caller who reuses the buffer", async () => {
      const store = await open();
      const reused = bytes.slice();
      await store.put(hash, reused, signal);
      reused.fill(7);
      expect(Buffer.from(await store.get(hash, signal))).toEqual(Buffer.from(bytes));
    });

    test("stores the same hash once, also when put at the same time", async () => {
      const store = await open();
      await Promise.all(Array.from({ length: 16 }, () => store.put(hash, bytes, signal)));
      await store.put(hash, bytes, signal);
      expect(Buffer.from(await store.get(hash, signal))).toEqual(Buffer.from(bytes));
      await store.delete(hash, signal);
      await expect(store.get(hash, signal)).rejects.toMatchObject({ code: "blob.missing" });
    });

    test("says that a blob is missing, for good", async () => {
      const store = await open();
      await expect(store.get(hash, signal)).rejects.toMatchObject({ code: "blob.missing", retryable: false });
    });

    test("deletes; what does not exist is no error; and puts again afterwards", async () => {
      const store = await open();
      await store.delete(hash, signal);
      await store.put(hash, bytes, signal);
      await store.delete(hash, signal);
      await expect(store.get(hash, signal)).rejects.toMatchObject({ code: "blob.missing" });
      await store.put(hash, bytes, signal);
      expect((await store.get(hash, signal)).byteLength).toBe(bytes.byteLength);
    });

    test("an aborted call does nothing and throws the reason", async () => {
      const store = await open();
      const reason = new Error("not wanted any more");
      const aborted = AbortSignal.abort(reason);
      await expect(store.put(hash, bytes, aborted)).rejects.toBe(reason);
      await expect(store.get(hash, signal)).rejects.toMatchObject({ code: "blob.missing" });
      await store.put(hash, bytes, signal);
      await expect(store.get(hash, aborted)).rejects.toBe(reason);
    });
  });
}
