import { randomUUID } from "node:crypto";
import { mkdir, stat, utimes, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type ChunkRecord, contentHashOf, documentIdOf } from "@millrace/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { clean, makeTexts, Rig, seeded } from "./rig.ts";

/** What is put in disorder behind everybody's back is in order again after a while, though nobody asked for it. */
let rig: Rig;
beforeAll(async () => {
  rig = await Rig.start();
});
afterAll(() => rig.close());

test("the workers mend by themselves what is not as the ledger says", { timeout: 120_000 }, async () => {
  const { project, ledger, producer, store, blobs } = rig;
  const signal = new AbortController().signal;
  const texts = makeTexts(6, 100, seeded(5));
  await rig.ingest(texts);
  const first = await rig.startWorker({}, false);
  await rig.settled(30_000);
  first.kill("SIGKILL");

  const [source = ""] = texts.keys();
  const known = await ledger.get(project, documentIdOf(project, source));
  if (known?.mediaType === undefined || known.liveGeneration === undefined) throw new Error(`${source} is not live`);
  // A producer that died between ledger and queue.
  const { contentHash, fingerprint, mediaType, bytes, origin } = known;
  await ledger.plan({ project, source, contentHash, fingerprint, mediaType, bytes, origin, ingestId: "lost", force: true });
  // A job of a document that nobody knows.
  const stray = { version: 1 as const, project, documentId: "d".repeat(32), generation: "e".repeat(24) };
  await producer.addDocuments(project, [stray], "bulk");
  // Rows of one, and a file of none, which is older than any ingest under way.
  const [vector = new Float32Array()] = await rig.embedder.embed(["a ghost"], signal);
  const chunk = { ordinal: 0, text: "a ghost", span: { start: 0, end: 7 }, headings: [], tokens: 2 };
  const ghost: ChunkRecord = {
    ...stray,
    chunkId: "f".repeat(40),
    source: "ghost.md",
    mediaType,
    title: "",
    metadata: {},
    ingestedAt: 0,
    chunk,
    vector,
  };
  await store.upsert([ghost], signal);
  const [orphan, young] = [contentHashOf(Buffer.from(randomUUID())), contentHashOf(Buffer.from(randomUUID()))];
  for (const each of [orphan, young]) {
    await mkdir(dirname(blobs.pathOf(each)), { recursive: true });
    await writeFile(blobs.pathOf(each), "x");
  }
  await utimes(blobs.pathOf(orphan), 1, 1);

  await rig.startWorker({ MILLRACE_AUDIT_SECONDS: "1" });
  await rig.until(60_000, "the orphan to go", async () => !(await blobs.has(orphan)));
  await rig.settled(30_000);
  expect(await rig.judge()).toMatchObject(clean);
  expect((await stat(blobs.pathOf(young))).isFile()).toBe(true);
});
