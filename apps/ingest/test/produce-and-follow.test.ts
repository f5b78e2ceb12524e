import { mkdtemp, rm, truncate, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { contentHashOf, documentIdOf, parseProjectName } from "@millrace/core";
import { type GenerationRef, Ledger, type LedgerEvent } from "@millrace/ledger";
import { Producer } from "@millrace/queue";
import { connectRedis, FileBlobStore } from "@millrace/runtime";
import { startRedis, type TestRedis } from "@millrace/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { follow } from "../src/follow.ts";
import { IngestRun } from "../src/ingest-run.ts";
import { type PlannedDocument, type ProduceRequest, produce, reject } from "../src/produce.ts";
import { walk } from "../src/walk.ts";

const project = parseProjectName("docs");
const walkOptions = { hidden: false, ignore: [], documentBytesMax: 100 * 1024 * 1024 };
const { signal } = new AbortController();
const version = { chunks: 2, tokens: 20, title: "", metadata: {}, timings: {} };

let server: TestRedis;
let redis: ReturnType<typeof connectRedis>;
let eventsRedis: ReturnType<typeof connectRedis>;
let producer: Producer;
let ledger: Ledger;
let folder: string;
let blobs: FileBlobStore;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, "queue", () => undefined);
  eventsRedis = connectRedis(server.url, "queue", () => undefined);
  producer = new Producer(redis);
  ledger = new Ledger(redis);
});

beforeEach(async () => {
  await redis.flushall();
  folder = await mkdtemp(join(tmpdir(), "millrace-ingest-"));
  blobs = new FileBlobStore(join(folder, "blobs"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

afterAll(async () => {
  await producer.close();
  redis.disconnect();
  eventsRedis.disconnect();
  await server.stop();
});

async function produceAll(paths: readonly string[], changed: Partial<ProduceRequest> = {}): Promise<PlannedDocument[]> {
  const request = {
    project,
    ingestId: "run",
    fingerprint: "pipeline-1",
    force: false,
    takeOver: false,
    queueBytesMax: 1e9,
    urgency: "bulk" as const,
    onWaiting: () => undefined,
    metadata: {},
    ...walkOptions,
    ...changed,
  };
  const found = await walk(paths, walkOptions);
  const planned = await Promise.all(found.failed.map((file) => reject(file, { ledger, producer, blobs }, request)));
  for await (const batch of produce(found.files, { ledger, producer, blobs }, request, signal)) planned.push(...batch);
  return planned;
}

async function outcomes(paths: readonly string[], changed: Partial<ProduceRequest> = {}): Promise<string[]> {
  return (await produceAll(paths, changed)).map(({ source, outcome, failure }) => `${source} ${failure?.code ?? outcome}`);
}

/** What a worker does, as far as the ledger can tell. */
async function goLive(source: string): Promise<void> {
  expect(await ledger.switchLive(await pendingRef(source), version)).toBe(true);
}

async function callsOf(command: string): Promise<number> {
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.info("commandstats"))?.[1] ?? 0);
}

async function pendingRef(source: string): Promise<GenerationRef> {
  const documentId = documentIdOf(project, source);
  const generation = (await ledger.get(project, documentId))?.pendingGeneration;
  return { project, documentId, generation: generation ?? "none" };
}

test("bytes are stored, the ledger knows the document, and the queue holds its reference", async () => {
  await writeFile(join(folder, "a.md"), "alpha");
  expect(await outcomes([folder])).toEqual(["a.md added"]);
  const hash = contentHashOf(Buffer.from("alpha"));
  expect(Buffer.from(await blobs.get(hash, signal)).toString()).toBe("alpha");
  const entry = await ledger.get(project, documentIdOf(project, "a.md"));
  expect(entry).toMatchObject({ state: "queued", contentHash: hash, bytes: 5, origin: join(folder, "a.md"), mediaType: "text/markdown" });
  const jobs = await producer.queues[0]?.getPrioritized();
  expect(jobs?.map((job) => job.data)).toEqual([
    { version: 1, project, documentId: documentIdOf(project, "a.md"), generation: entry?.pendingGeneration },
  ]);
});

test("the second run adds nothing; a changed file, a changed pipeline and --force are updates", async () => {
  await writeFile(join(folder, "a.md"), "alpha");
  await writeFile(join(folder, "b.md"), "beta");
  await produceAll([folder]);
  await goLive("a.md");
  await goLive("b.md");
  expect(await outcomes([folder])).toEqual(["a.md unchanged", "b.md unchanged"]);
  expect(await producer.counts("documents")).toMatchObject({ waiting: 2 });
  await writeFile(join(folder, "a.md"), "alpha, edited");
  expect(await outcomes([folder])).toEqual(["a.md updated", "b.md unchanged"]);
  await goLive("a.md");
  expect(await outcomes([folder], { fingerprint: "pipeline-2" })).toEqual(["a.md updated", "b.md updated"]);
  await goLive("a.md");
  await goLive("b.md");
  expect(await outcomes([folder], { fingerprint: "pipeline-2", force: true })).toEqual(["a.md updated", "b.md updated"]);
});

test("several batches, each document once", async () => {
  for (let index = 0; index < 230; index++) await writeFile(join(folder, `${index}.txt`), `text ${index}`);
  const planned = await produceAll([folder]);
  expect(new Set(planned.map(({ documentId }) => documentId)).size).toBe(230);
  expect(await producer.counts("documents")).toMatchObject({ waiting: 230 });
});

test("a source never passes to another file in silence", async () => {
  const elsewhere = await mkdtemp(join(tmpdir(), "millrace-ingest-"));
  try {
    await writeFile(join(folder, "readme.md"), "mine");
    await writeFile(join(elsewhere, "readme.md"), "another's");
    await produceAll([folder]);
    await goLive("readme.md");
    const [conflict] = await produceAll([elsewhere]);
    expect(conflict?.failure).toMatchObject({ code: "source.conflict", message: expect.stringContaining("--take-over") });
    expect(await ledger.get(project, documentIdOf(project, "readme.md"))).toMatchObject({
      state: "live",
      origin: join(folder, "readme.md"),
    });

    await truncate(join(elsewhere, "readme.md"), 200 * 1024 * 1024);
    expect(await outcomes([elsewhere])).toEqual(["readme.md file.too_large"]);
    expect(await ledger.get(project, documentIdOf(project, "readme.md"))).toMatchObject({ state: "live" });

    await writeFile(join(elsewhere, "readme.md"), "mine");
    expect(await outcomes([elsewhere])).toEqual(["readme.md unchanged"]);
    await writeFile(join(elsewhere, "readme.md"), "edited");
    expect(await outcomes([elsewhere])).toEqual(["readme.md updated"]);
    await writeFile(join(folder, "readme.md"), "edited too");
    expect(await outcomes([folder])).toEqual(["readme.md source.conflict"]);
    expect(await outcomes([folder], { takeOver: true })).toEqual(["readme.md updated"]);
    await unlink(join(folder, "readme.md"));
    expect(await outcomes([elsewhere])).toEqual(["readme.md updated"]);
  } finally {
    await rm(elsewhere, { recursive: true, force: true });
  }
});

test("a file that is too large, or goes away after it was found, is a failed document with its reason", async () => {
  await writeFile(join(folder, "gone.md"), "x");
  await writeFile(join(folder, "huge.pdf"), "");
  await truncate(join(folder, "huge.pdf"), 2 * 1024 ** 3);
  const request = {
    project,
    ingestId: "run",
    fingerprint: "p",
    force: false,
    takeOver: false,
    queueBytesMax: 1e9,
    urgency: "bulk" as const,
    onWaiting: () => undefined,
    metadata: {},
    ...walkOptions,
  };
  const found = await walk([folder], walkOptions);
  await unlink(join(folder, "gone.md"));
  for await (const batch of produce(found.files, { ledger, producer, blobs }, request, signal)) {
    expect(batch).toMatchObject([{ source: "gone.md", outcome: "failed", failure: { code: "file.unreadable" } }]);
  }
  await Promise.all(found.failed.map((file) => reject(file, { ledger, producer, blobs }, request)));
  const failed = await ledger.list({ project, state: "failed", limit: 10 });
  expect(failed.entries.map(({ source, failure }) => `${source} ${failure?.code}`)).toEqual([
    "gone.md file.unreadable",
    "huge.pdf file.too_large",
  ]);
});

test("a large file is streamed, and named by what was stored", async () => {
  const bytes = Buffer.alloc(40 * 1024 * 1024, "large ");
  await writeFile(join(folder, "large.txt"), bytes);
  expect(await outcomes([folder])).toEqual(["large.txt added"]);
  const entry = await ledger.get(project, documentIdOf(project, "large.txt"));
  expect(entry).toMatchObject({ contentHash: contentHashOf(bytes), bytes: bytes.length });
  expect(contentHashOf(await blobs.get(contentHashOf(bytes), signal))).toBe(contentHashOf(bytes));
});

test("what failed for good before says so again, until it is changed or forced", async () => {
  await writeFile(join(folder, "a.md"), "alpha");
  await produceAll([folder]);
  await ledger.fail(
    await pendingRef("a.md"),
    { code: "parse.encrypted", message: "It is encrypted", stage: "parse", retryable: false },
    { finalState: "failed" },
  );
  const [again] = await produceAll([folder]);
  expect(again).toMatchObject({ outcome: "failed", failure: { code: "parse.encrypted", message: "It is encrypted" } });
  expect(await outcomes([folder], { force: true })).toEqual(["a.md added"]);
});

function newRun(onTick: () => void = () => undefined): {
  run: IngestRun;
  followed: (events?: Ledger) => Promise<void>;
  warnings: string[];
} {
  const warnings: string[] = [];
  const run = new IngestRun(
    "run",
    { filesTotal: 1, bytesTotal: 1, skipped: [] },
    { onFinished: () => undefined, onRemoved: () => undefined, onWarning: (text) => void warnings.push(text) },
  );
  const followed = (events = new Ledger(eventsRedis)): Promise<void> => follow(run, project, { events, ledger, onTick }, signal);
  return { run, followed, warnings };
}

test("follows a run until every document has settled, each way it can", async () => {
  for (const name of ["empty", "fails", "live", "overtaken", "removed"]) await writeFile(join(folder, `${name}.md`), name);
  const { run, followed } = newRun();
  const end = followed();
  for (const planned of await produceAll([folder])) run.plan(planned);
  run.endPlanning();
  const empty = await pendingRef("empty.md");
  await ledger.advance(empty, { chunks: 0, done: 0 });
  await ledger.switchLive(empty, { ...version, chunks: 0, tokens: 0 });
  await ledger.fail(
    await pendingRef("fails.md"),
    { code: "parse.broken", message: "no", stage: "parse", retryable: false },
    { finalState: "failed" },
  );
  await goLive("live.md");
  await writeFile(join(folder, "overtaken.md"), "newer");
  await produceAll([join(folder, "overtaken.md")], { ingestId: "a later run" });
  await ledger.remove(project, documentIdOf(project, "removed.md"));
  await end;
  expect(run.finished.map(({ source, state }) => `${source} ${state}`).sort()).toEqual([
    "empty.md empty",
    "fails.md failed",
    "live.md live",
    "overtaken.md superseded",
    "removed.md superseded",
  ]);
  expect(run.summary()).toMatchObject({ failed: 1, empty: 1, chunks: 2, tokens: 20 });
});

test("a lost event costs seconds, not the end", async () => {
  await writeFile(join(folder, "a.md"), "alpha");
  const { run, followed } = newRun();
  for (const planned of await produceAll([folder])) run.plan(planned);
  run.endPlanning();
  await goLive("a.md");
  await redis.del(`millrace:{${project}}:ingest:run`);
  await followed();
  expect(run.finished).toMatchObject([{ source: "a.md", state: "live", chunks: 2 }]);
});

test("documents that move are not read again and again, and a lost event among them is found", async () => {
  for (const name of ["lost", "slow"]) await writeFile(join(folder, `${name}.md`), name);
  /** Never hears of the end of one. */
  class Deaf extends Ledger {
    override async readEvents(...asked: Parameters<Ledger["readEvents"]>): Promise<LedgerEvent[]> {
      return (await super.readEvents(...asked)).filter(({ source, state }) => source !== "lost.md" || state !== "live");
    }
  }
  let tick = (): void => undefined;
  const { run, followed } = newRun(() => tick());
  for (const planned of await produceAll([folder])) run.plan(planned);
  run.endPlanning();
  const [lost, slow] = [await pendingRef("lost.md"), await pendingRef("slow.md")];
  await redis.config("RESETSTAT");
  const startedAt = performance.now();
  let reads: number | undefined;
  const move = async (): Promise<void> => {
    await ledger.advance(slow, { chunks: 0, done: 0 });
    // The ledger has been asked once by then.
    if (reads === undefined && performance.now() - startedAt > 6_000) {
      reads = await callsOf("hgetall");
      await ledger.switchLive(lost, version);
    }
    if (run.openCount === 1) await ledger.switchLive(slow, version);
  };
  tick = () => void move();
  await followed(new Deaf(eventsRedis));
  expect(reads).toBe(0);
  expect(run.finished.map(({ source, state }) => `${source} ${state}`)).toEqual(["lost.md live", "slow.md live"]);
});

test("a Redis that goes away for a moment is waited for", async () => {
  await writeFile(join(folder, "a.md"), "alpha");
  let ticked = (): void => undefined;
  const away = new Promise<void>((resolve) => {
    ticked = resolve;
  });
  const { run, followed, warnings } = newRun(() => (warnings.length > 0 ? ticked() : undefined));
  for (const planned of await produceAll([folder])) run.plan(planned);
  run.endPlanning();
  await redis.call("SAVE");
  const end = followed();
  await server.kill();
  await away;
  await server.restart();
  await goLive("a.md");
  await end;
  expect(run.finished).toMatchObject([{ source: "a.md", state: "live" }]);
  expect(warnings[0]).toMatch(/does not answer/);
});
