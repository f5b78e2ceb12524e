import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateSync } from "node:zlib";
import { limits, type MediaType } from "@millrace/core";
import { ChildPool } from "@millrace/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ParserPool } from "../src/parse/parser-pool.ts";
import { makePage, makePages, textContent } from "./pdf.ts";

const signal = new AbortController().signal;
const timeoutMs = 30_000;
const memoryBytesMax = 192 * 1024 * 1024;
const root = fileURLToPath(new URL("../../../", import.meta.url));

let folder: string;
let secret: string;
let server: Server;
let port: number;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-pool-"));
  secret = join(folder, "secret");
  await writeFile(secret, "secret");
  server = createServer((_, response) => response.end("reached")).listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

describe("a pool that grows when a request waits behind a slow one", () => {
  const entry = new URL("./probe-process.mjs", import.meta.url);
  const read = (pool: ChildPool): Promise<unknown> => pool.request({ attempt: "read", path: secret }, { signal, timeoutMs });
  const hang = (pool: ChildPool): void => void pool.request({ attempt: "hang" }, { signal, timeoutMs }).catch(() => undefined);

  test("starts no process for one that has only just come", async () => {
    const pool = new ChildPool({ entry, size: 2, growAfterMs: 600_000 });
    await read(pool);
    hang(pool);
    const waiting = read(pool).catch((error: unknown) => error);
    expect(pool.pids()).toHaveLength(1);
    await pool.close();
    expect(await waiting).toMatchObject({ code: "child.closed" });
  });

  test("starts none for one that waits behind many quick ones", async () => {
    const pool = new ChildPool({ entry, size: 2, growAfterMs: 1_500 });
    await Promise.all(Array.from({ length: 10 }, () => pool.request({ attempt: "work", ms: 200 }, { signal, timeoutMs })));
    expect(pool.pids()).toHaveLength(1);
    await pool.close();
  });

  test("does not leave it behind a slow one", async () => {
    const pool = new ChildPool({ entry, size: 2, growAfterMs: 20 });
    await read(pool);
    hang(pool);
    expect(await read(pool)).toBe("secret");
    expect(pool.pids()).toHaveLength(2);
    await pool.close();
  });
});

describe("a parser process", () => {
  const entry = new URL("./probe-process.mjs", import.meta.url);
  const confinement = { readable: ["apps", "packages", "node_modules"].map((name) => join(root, name)) };
  const confined = new ChildPool({ entry, size: 1, args: ["deny-network"], memoryBytesMax, confinement });
  /** The same by the permissions alone: the network is then denied by the kernel or not at all. */
  const free = new ChildPool({ entry, size: 1 });
  afterAll(async () => {
    await Promise.all([confined.close(), free.close()]);
  });
  const tryIn = (pool: ChildPool, attempt: string): Promise<unknown> =>
    pool.request({ attempt, port, path: secret, bytes: memoryBytesMax * 2 }, { signal, timeoutMs });

  for (const attempt of ["fetch", "http", "tcp", "dns", "udp"]) {
    test(`has no network by ${attempt}, which a free one has`, async () => {
      await expect(tryIn(confined, attempt)).rejects.toThrow("no network in a parser");
      await expect(tryIn(free, attempt)).resolves.toBeDefined();
    });
  }

  for (const attempt of ["read", "write", "run"]) {
    test(`may not ${attempt}, which a free one may`, async () => {
      await expect(tryIn(confined, attempt)).rejects.toThrow(/restricted/);
      expect(await readFile(secret, "utf8")).toBe("secret");
    });
  }

  test("is refused memory beyond its limit when it asks, which a free one is not", async () => {
    await expect(tryIn(confined, "memory")).rejects.toMatchObject({ code: "child.out_of_memory" });
    expect(await tryIn(free, "memory")).toBe(memoryBytesMax * 2);
  });

  test("is ended when it is seen to have more memory than its limit, where nothing refuses it", async () => {
    const watched = new ChildPool({ entry, size: 1, memoryBytesMax });
    const atLimit = watched.request({ attempt: "fill", bytes: memoryBytesMax }, { signal, timeoutMs });
    await expect(atLimit).rejects.toMatchObject({ code: "child.out_of_memory" });
    await watched.close();
  });

  test("gets the bytes of a file that it may not read", async () => {
    const path = join(folder, "input");
    await writeFile(path, Buffer.alloc(3_000_000, 1));
    const requests = [3_000_000, 0, 1, 3_000_000].map((bytes) =>
      confined.request({ attempt: "input" }, { signal, timeoutMs, input: { path, bytes } }),
    );
    expect(await Promise.all(requests)).toEqual([3_000_000, 0, 1, 3_000_000]);
    const missing = confined.request({ attempt: "input" }, { signal, timeoutMs, input: { path: join(folder, "gone"), bytes: 1 } });
    await expect(missing).rejects.toMatchObject({ code: "child.input_unreadable" });
  });
});

describe("the parser pool", () => {
  const pool = new ParserPool({ size: 1, timeoutMs: 100_000, memoryBytesMax: 512 * 1024 * 1024 });
  afterAll(() => pool.close());

  async function parts(bytes: Uint8Array, mediaType: MediaType): Promise<{ pages: number; texts: string[] }> {
    const path = join(folder, "document");
    await writeFile(path, bytes);
    const texts: string[] = [];
    let pages = 0;
    for (let from: number | undefined = 1; from !== undefined; ) {
      const { document, nextPage } = await pool.parse(path, mediaType, from, signal);
      expect(document.firstPage).toBe(from);
      pages += document.pageStarts?.length ?? 0;
      texts.push(document.text);
      from = nextPage;
    }
    return { pages, texts };
  }

  test("gives a long PDF in parts that miss no page and repeat none", async () => {
    const pages = limits.parsePagesPerPartMax + 150;
    const result = await parts(
      makePages(pages, (page) => textContent([`This is page ${page}.`])),
      "application/pdf",
    );
    expect(result.pages).toBe(pages);
    expect(result.texts.length).toBeGreaterThan(1);
    expect(result.texts.join("\n\n").split("\n\n")).toEqual(Array.from({ length: pages }, (_, index) => `This is page ${index + 1}.`));
  });

  test("calls a PDF that inflates beyond the memory limit too large for it, not damaged", { timeout: 120_000 }, async () => {
    const blanks = deflateSync(Buffer.alloc(512 * 1024 * 1024, " "), { level: 1 });
    await expect(parts(makePage(blanks, "/FlateDecode"), "application/pdf")).rejects.toMatchObject({ code: "parse.out_of_memory" });
  });

  test("refuses a PDF of 100,000 pages for their number", { timeout: 120_000 }, async () => {
    await expect(parts(makePages(100_000, undefined), "application/pdf")).rejects.toMatchObject({ code: "parse.too_many_pages" });
  });
});
