import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { contentHashOf, MemoryBlobStore } from "@millrace/core";
import { FileBlobStore } from "@millrace/runtime";
import { afterAll, expect, test } from "vitest";
import { describeBlobStore } from "../src/index.ts";

const folders: string[] = [];
const { signal } = new AbortController();

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-blobs-"));
  folders.push(folder);
  return folder;
}

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

describeBlobStore("in memory", async () => new MemoryBlobStore());
describeBlobStore("a folder", async () => new FileBlobStore(await newFolder()));

test("lies under the first two digits of its hash and leaves no temporary file", async () => {
  const folder = await newFolder();
  const bytes = Buffer.from("a blob");
  const hash = contentHashOf(bytes);
  await new FileBlobStore(folder).put(hash, bytes, signal);
  expect(await readFile(join(folder, hash.slice(0, 2), hash.slice(2)), "utf8")).toBe("a blob");
  expect(await readdir(join(folder, "tmp"))).toEqual([]);
});

test("names a streamed blob by the bytes that were written", async () => {
  const store = new FileBlobStore(await newFolder());
  const pieces = Array.from({ length: 50 }, (_, index) => Buffer.alloc(1_000, index));
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* pieces;
  }
  const stored = await store.putStream(source(), signal);
  expect(stored).toEqual({ contentHash: contentHashOf(Buffer.concat(pieces)), bytes: 50_000 });
  expect(Buffer.compare(await store.get(stored.contentHash, signal), Buffer.concat(pieces))).toBe(0);
});

test("a stream that breaks stores nothing", async () => {
  const folder = await newFolder();
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("half");
    throw new Error("the source went away");
  }
  await expect(new FileBlobStore(folder).putStream(source(), signal)).rejects.toThrow("the source went away");
  expect(await readdir(folder, { recursive: true })).toEqual(["tmp"]);
});

test("never makes a path of anything but a hash", async () => {
  const store = new FileBlobStore(await newFolder());
  await expect(store.get("../../etc/passwd", signal)).rejects.toMatchObject({ code: "blob.missing" });
  await expect(store.put("..", Buffer.from("x"), signal)).rejects.toMatchObject({ code: "blob.missing" });
});

test("a folder that cannot be written is a dependency that is down", async () => {
  const file = join(await newFolder(), "not-a-folder");
  await writeFile(file, "");
  const bytes = Buffer.from("x");
  await expect(new FileBlobStore(file).put(contentHashOf(bytes), bytes, signal)).rejects.toMatchObject({ code: "blob.unavailable" });
});
