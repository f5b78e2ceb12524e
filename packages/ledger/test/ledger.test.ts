import { randomUUID } from "node:crypto";
import { documentIdOf, limits, parseProjectName } from "@millrace/core";
import { startRedis, type TestRedis } from "@millrace/testing";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type GenerationRef, Ledger, type PlanResult } from "../src/index.ts";

let server: TestRedis;
let redis: Redis;
let ledger: Ledger;
let counter = 0;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
  ledger = new Ledger(redis);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

/** A project of its own per test, on the shared server. */
function setUp(source = "a.md") {
  const project = parseProjectName(`p${++counter}`);
  const documentId = documentIdOf(project, source);
  const plan = (contentHash: string, options: { ingestId?: string; force?: boolean; source?: string } = {}): Promise<PlanResult> =>
    ledger.plan({
      project,
      source: options.source ?? source,
      contentHash,
      fingerprint: "f1",
      mediaType: "text/markdown",
      bytes: 10,
      origin: "/docs/a.md",
      ingestId: options.ingestId ?? "i1",
      ...(options.force === undefined ? {} : { force: options.force }),
    });
  const ref = (generation: string): GenerationRef => ({ project, documentId, generation });
  const live = async (contentHash: string, chunks = 3): Promise<string> => {
    const { generation } = await plan(contentHash);
    await ledger.advance(ref(generation), { chunks, done: 0 });
    expect(await ledger.switchLive(ref(generation), { chunks, tokens: 30, title: "T", metadata: { a: 1 }, timings: { parse: 1 } })).toBe(
      true,
    );
    return generation;
  };
  const failure = { code: "parse.encrypted", message: "locked", stage: "parse", retryable: false };
  return { project, documentId, plan, ref, live, failure };
}

describe("Ledger", () => {
  it("takes a document from queued to live, and finds it unchanged afterwards", async () => {
    const { project, documentId, plan, ref } = setUp();
    const planned = await plan("c1");
    expect(planned).toMatchObject({ documentId, outcome: "added" });
    const generation = ref(planned.generation);
    expect((await ledger.begin(generation, "run-1")).outcome).toBe("begun");
    expect(await ledger.liveGenerations(project, [documentId])).toEqual(new Map());
    expect(await ledger.advance(generation, { chunks: 2, done: 0 })).toBe(true);
    const before = await ledger.epoch(project);
    expect(await ledger.switchLive(generation, { chunks: 2, tokens: 40, title: "Title", metadata: {}, timings: {} })).toBe(true);
    expect(await ledger.epoch(project)).not.toBe(before);
    expect(await ledger.liveGenerations(project, [documentId])).toEqual(new Map([[documentId, planned.generation]]));
    expect(await ledger.get(project, documentId)).toMatchObject({ state: "live", liveChunks: 2, title: "Title", attempts: 1 });
    expect(await plan("c1")).toMatchObject({ outcome: "unchanged" });
  });

  it("goes on with a Redis that has forgotten its scripts, as after a failover", async () => {
    const { plan, ref, live, project } = setUp();
    await live("c1");
    await redis.script("FLUSH");
    const { generation } = await plan("c2");
    await redis.script("FLUSH");
    expect((await ledger.begin(ref(generation), "run-1")).outcome).toBe("begun");
    expect(await ledger.advance(ref(generation), { chunks: 0, done: 0 })).toBe(true);
    await redis.script("FLUSH");
    const request = {
      contentHash: "c",
      fingerprint: "f1",
      mediaType: "text/markdown",
      bytes: 10,
      origin: "/docs",
      ingestId: "i1",
    } as const;
    const planned = await ledger.planAll(project, [
      { ...request, source: "b.md" },
      { ...request, source: "c.md" },
    ]);
    expect(planned.map(({ outcome }) => outcome)).toEqual(["added", "added"]);
  });

  it("answers with the old generation until the switch, then lists its rows as garbage", async () => {
    const { project, documentId, plan, ref, live } = setUp();
    const first = await live("c1");
    const second = await plan("c2");
    expect(second.outcome).toBe("updated");
    expect((await ledger.liveGenerations(project, [documentId])).get(documentId)).toBe(first);
    await ledger.switchLive(ref(second.generation), { chunks: 1, tokens: 1, title: "", metadata: {}, timings: {} });
    expect((await ledger.liveGenerations(project, [documentId])).get(documentId)).toBe(second.generation);
    expect(await ledger.garbage(project, 10)).toEqual([{ project, documentId, generation: first, chunks: 3 }]);
  });

  it("gives the same bytes a new generation when they come back, so that collecting the old rows cannot hit the new", async () => {
    const { project, live } = setUp();
    const first = await live("c1");
    await live("c2");
    const third = await live("c1");
    expect(third).not.toBe(first);
    expect((await ledger.garbage(project, 10)).map((entry) => entry.generation)).not.toContain(third);
  });

  it("refuses a late worker every transition", async () => {
    const { project, documentId, plan, ref, failure } = setUp();
    const old = ref((await plan("c1")).generation);
    await ledger.advance(old, { chunks: 5, done: 0 });
    const { generation } = await plan("c2");
    expect(await ledger.advance(old, { chunks: 5, done: 5 })).toBe(false);
    expect(await ledger.switchLive(old, { chunks: 5, tokens: 5, title: "", metadata: {}, timings: {} })).toBe(false);
    expect(await ledger.fail(old, failure, { finalState: "failed" })).toEqual({ failures: 0 });
    expect(await ledger.get(project, documentId)).toMatchObject({ state: "queued", pendingGeneration: generation, failure: undefined });
    // Rows of the abandoned generation may have been written already.
    expect(await ledger.garbage(project, 10)).toEqual([{ ...old, chunks: 5 }]);
  });

  it("accepts a repeated switch of the same generation once", async () => {
    const { project, ref, live } = setUp();
    const generation = await live("c1");
    const epoch = await ledger.epoch(project);
    expect(await ledger.switchLive(ref(generation), { chunks: 9, tokens: 9, title: "", metadata: {}, timings: {} })).toBe(true);
    expect(await ledger.epoch(project)).toBe(epoch);
    expect(await ledger.garbage(project, 10)).toEqual([]);
  });

  it("keeps answering with the old version when an update fails for good, and does not try the same bytes again unless forced", async () => {
    const { project, documentId, plan, ref, live, failure } = setUp();
    const first = await live("c1");
    const second = await plan("bad");
    await ledger.fail(ref(second.generation), failure, { finalState: "failed" });
    expect(await ledger.get(project, documentId)).toMatchObject({ state: "failed", liveGeneration: first, failure });
    expect((await plan("bad")).outcome).toBe("failed");
    expect((await plan("bad", { force: true })).outcome).toBe("updated");
    expect((await plan("c1")).outcome).toBe("unchanged");
    expect(await ledger.get(project, documentId)).toMatchObject({ state: "live", failure: undefined, pendingGeneration: undefined });
  });

  it("stays pending after a temporary failure, and hands the same generation to the next ingest", async () => {
    const { project, documentId, plan, ref, failure } = setUp();
    const first = await plan("c1");
    await ledger.fail(ref(first.generation), { ...failure, retryable: true });
    expect(await ledger.get(project, documentId)).toMatchObject({ state: "queued", pendingGeneration: first.generation });
    expect(await plan("c1", { ingestId: "i2" })).toEqual(first);
  });

  it("deletes at once and for good", async () => {
    const { project, documentId, ref, live, plan } = setUp();
    const generation = await live("c1");
    const epoch = await ledger.epoch(project);
    expect(await ledger.remove(project, documentId)).toBe(true);
    expect(await ledger.remove(project, documentId)).toBe(false);
    expect(await ledger.liveGenerations(project, [documentId])).toEqual(new Map());
    expect(await ledger.epoch(project)).not.toBe(epoch);
    expect((await ledger.list({ project, limit: 10 })).entries).toEqual([]);
    expect(await ledger.garbage(project, 10)).toEqual([{ ...ref(generation), chunks: 3 }]);
    expect((await plan("c1")).outcome).toBe("added");
  });

  it("records a source that cannot be read, beside the version that answers", async () => {
    const { project, documentId, live, failure } = setUp();
    const generation = await live("c1");
    await ledger.reject({
      project,
      source: "a.md",
      bytes: 2e9,
      origin: "/docs/a.md",
      ingestId: "i2",
      failure: { ...failure, code: "file.too_large" },
    });
    expect(await ledger.get(project, documentId)).toMatchObject({
      state: "failed",
      liveGeneration: generation,
      failure: { code: "file.too_large" },
    });
  });

  it("lists in pages by source and by state, and counts", async () => {
    const { project, plan, ref, failure } = setUp();
    const sources = Array.from({ length: 25 }, (_, index) => `dir/${String(index).padStart(2, "0")}.md`);
    for (const source of sources) await plan("c", { source });
    await plan("c", { source: "other.md" });
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await ledger.list({ project, sourcePrefix: "dir/", limit: 10, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.entries.map((entry) => entry.source));
      cursor = page.next;
    } while (cursor !== undefined);
    expect(seen).toEqual(sources);
    const other = (await ledger.list({ project, sourcePrefix: "other", limit: 1 })).entries[0];
    await ledger.fail({ ...ref(other?.pendingGeneration ?? ""), documentId: other?.documentId ?? "" }, failure, { finalState: "failed" });
    expect(await ledger.countByState(project)).toMatchObject({ queued: 25, failed: 1, live: 0 });
    expect((await ledger.list({ project, state: "failed", limit: 10 })).entries.map((entry) => entry.source)).toEqual(["other.md"]);
  });

  it("finds the rows of every run again when a version is given up", async () => {
    const { project, documentId, plan, ref, failure } = setUp();
    const given = ref((await plan("c1")).generation);
    await ledger.advance(given, { chunks: 5, done: 0 });
    // Another run, which knows of fewer when it fails.
    await ledger.begin(given, "run-2");
    await ledger.advance(given, { chunks: 2, done: 0 });
    await ledger.fail(given, failure, { finalState: "failed" });
    expect(await ledger.garbage(project, 10)).toEqual([{ ...given, documentId, chunks: 5 }]);
  });

  it("tells the ingest run what happens to its documents, and that a later run took over", async () => {
    const { project, plan, ref } = setUp();
    const { generation } = await plan("c1", { ingestId: "first" });
    await ledger.begin(ref(generation), "run");
    await plan("c1", { ingestId: "second" });
    await ledger.switchLive(ref(generation), { chunks: 2, tokens: 7, title: "", metadata: {}, timings: {} });
    const first = await ledger.readEvents(project, "first", "0", 1);
    expect(first.map((event) => event.state)).toEqual(["queued", "parsing", "superseded"]);
    const second = await ledger.readEvents(project, "second", "0", 1);
    expect(second).toMatchObject([{ state: "live", source: "a.md", chunks: 2, tokens: 7 }]);
    expect(await ledger.readEvents(project, "second", second[0]?.eventId ?? "", 1)).toEqual([]);
  });

  it("quarantines what takes its worker with it again and again at one point, and nothing that makes progress or is handed back", async () => {
    const { project, documentId, plan, ref } = setUp();
    const poison = ref((await plan("poison")).generation);
    const begin = async (ref: typeof poison, alone = false) => (await ledger.begin(ref, randomUUID(), { alone })).outcome;
    expect([await begin(poison), await begin(poison), await begin(poison)]).toEqual(["begun", "begun", "suspected"]);
    // A worker's death while it waits to be alone is not its own.
    for (let run = 1; run <= 20; run++) expect(await ledger.begin(poison, "company")).toEqual({ outcome: "suspected", deaths: 2 });
    expect(await ledger.get(project, documentId)).toMatchObject({ state: "queued" });
    for (let death = 3; death <= 10; death++) expect(await begin(poison, true)).toBe("begun");
    expect(await begin(poison, true)).toBe("quarantined");
    expect(await ledger.get(project, documentId)).toMatchObject({ state: "quarantined", failure: { code: "worker.died" } });
    expect(await ledger.load(project)).toEqual({ documents: 0, bytes: 0 });

    const slow = ref((await plan("slow")).generation);
    for (let run = 1; run <= 50; run++) {
      expect(await begin(slow)).toBe("begun");
      await ledger.advance(slow, { chunks: 100, done: run });
    }
    for (let run = 1; run <= 50; run++) {
      expect(await begin(slow)).toBe("begun");
      await ledger.release(slow);
    }
  });

  it("tries again at growing intervals, says when, and gives up in the end without calling it permanent", async () => {
    const { project, documentId, plan, ref, failure } = setUp();
    const { generation } = await plan("c1");
    const away = { ...failure, retryable: true };
    const pauses: (number | undefined)[] = [];
    do {
      await ledger.begin(ref(generation), `run-${pauses.length}`);
      expect((await ledger.get(project, documentId))?.retryAt).toBeUndefined();
      const before = Date.now();
      pauses.push((await ledger.fail(ref(generation), away)).retryInMs);
      const retryAt = (await ledger.get(project, documentId))?.retryAt;
      if (pauses.at(-1) !== undefined) expect(retryAt).toBeGreaterThanOrEqual(before + (pauses.at(-1) ?? 0) - 1);
      else expect(retryAt).toBeUndefined();
    } while (pauses.at(-1) !== undefined);
    expect(pauses).toHaveLength(50);
    for (const [index, pause] of pauses.slice(0, -1).entries()) {
      const full = Math.min(500 * 2 ** index, 60_000);
      expect(pause).toBeGreaterThanOrEqual(full / 2 - 1);
      expect(pause).toBeLessThanOrEqual(full);
    }
    expect(await ledger.get(project, documentId)).toMatchObject({ state: "failed", failure: { retryable: true } });
  });

  it("quarantines at the second crash of a process that had only this document", async () => {
    const { project, documentId, plan, ref, failure } = setUp();
    const { generation } = await plan("c1");
    const crash = { ...failure, code: "parse.crashed" };
    await ledger.begin(ref(generation), "run-1");
    expect(await ledger.fail(ref(generation), crash, { crashed: true })).toMatchObject({ failures: 1, retryInMs: expect.any(Number) });
    await ledger.begin(ref(generation), "run-2");
    expect(await ledger.fail(ref(generation), crash, { crashed: true })).toEqual({ failures: 2 });
    expect(await ledger.get(project, documentId)).toMatchObject({
      state: "quarantined",
      failure: { code: "parse.crashed", retryable: false },
    });
  });

  it("counts what is pending, per project and ingest, through every way out", async () => {
    const { project, documentId, plan, ref, failure, live } = setUp();
    const none = { documents: 0, bytes: 0 };
    const one = { documents: 1, bytes: 10 };
    expect(await ledger.load(project)).toEqual(none);
    await live("c1");
    expect(await ledger.load(project)).toEqual(none);
    await plan("c2");
    await plan("c2");
    expect([await ledger.load(project), await ledger.openCount(project, "i1")]).toEqual([one, 1]);
    await plan("c3", { ingestId: "i2" });
    expect([await ledger.load(project), await ledger.openCount(project, "i1"), await ledger.openCount(project, "i2")]).toEqual([one, 0, 1]);
    await plan("c1", { ingestId: "i2" });
    expect([await ledger.load(project), await ledger.openCount(project, "i2")]).toEqual([none, 0]);
    await ledger.fail(ref((await plan("c4")).generation), failure, { finalState: "failed" });
    expect(await ledger.load(project)).toEqual(none);
    const empty = {
      project,
      source: "empty.md",
      contentHash: "e",
      fingerprint: "f",
      mediaType: "text/markdown",
      bytes: 0,
      origin: "",
      ingestId: "i3",
    } as const;
    const { documentId: emptyId, generation } = await ledger.plan(empty);
    expect(await ledger.load(project)).toEqual({ documents: 1, bytes: 0 });
    await ledger.switchLive({ project, documentId: emptyId, generation }, { chunks: 0, tokens: 0, title: "", metadata: {}, timings: {} });
    expect(await ledger.load(project)).toEqual(none);
    await plan("c5");
    await ledger.remove(project, documentId);
    expect([await ledger.load(project), await ledger.openCount(project, "i1")]).toEqual([none, 0]);
  });

  it("knows a live document by its content, and forgets it when it changes", async () => {
    const { project, documentId, plan, live } = setUp();
    const generation = await live("c1");
    expect(await ledger.twin(project, "c1", "f1")).toEqual({ documentId, generation, chunks: 3 });
    expect(await ledger.twin(project, "c1", "other")).toBeUndefined();
    const copy = {
      project,
      documentId: documentIdOf(project, "copy.md"),
      generation: (await plan("c1", { source: "copy.md" })).generation,
    };
    await ledger.begin(copy, "run-1");
    expect(await ledger.get(project, copy.documentId)).toMatchObject({ twinId: documentId });
    await live("c2");
    expect(await ledger.twin(project, "c1", "f1")).toBeUndefined();
    await ledger.begin(copy, "run-2");
    expect(await ledger.get(project, copy.documentId)).toMatchObject({ twinId: undefined });
    await ledger.remove(project, documentId);
    expect(await ledger.twin(project, "c2", "f1")).toBeUndefined();
  });

  it("shows bulk ingestion's changes together within the hold, the last of an ingest and every delete at once", async () => {
    const { project, documentId, plan, ref } = setUp();
    const held = `millrace:{${project}}:epoch:held`;
    const switchTo = async (source: string): Promise<void> => {
      const { documentId: id, generation } = await plan("c1", { source });
      await ledger.switchLive({ ...ref(generation), documentId: id }, { chunks: 1, tokens: 1, title: "", metadata: {}, timings: {} });
    };
    await plan("c1", { source: "open.md" }); // others of the same ingest are never the last
    const before = await ledger.epoch(project);
    await switchTo("a.md");
    const shown = await ledger.epoch(project);
    expect(shown).not.toBe(before);
    const holdMs = await redis.pttl(held);
    expect(holdMs).toBeGreaterThan(0);
    expect(holdMs).toBeLessThanOrEqual(limits.epochHoldMs);
    await switchTo("b.md");
    expect(await ledger.epoch(project)).toBe(shown);
    expect(await redis.pttl(held)).toBeLessThanOrEqual(holdMs); // never prolonged
    await redis.pexpire(held, 0); // its end, without waiting for it
    const afterHold = await ledger.epoch(project);
    expect(afterHold).not.toBe(shown);
    await switchTo("c.md");
    const again = await ledger.epoch(project);
    expect([before, shown, afterHold]).not.toContain(again);
    await ledger.remove(project, documentId);
    const afterDelete = await ledger.epoch(project);
    expect([before, shown, afterHold, again]).not.toContain(afterDelete);
    await switchTo("d.md");
    const open = await plan("c1", { source: "open.md" });
    const beforeLast = await ledger.epoch(project);
    await ledger.switchLive(
      { project, documentId: open.documentId, generation: open.generation },
      { chunks: 1, tokens: 1, title: "", metadata: {}, timings: {} },
    );
    expect(await ledger.epoch(project)).not.toBe(beforeLast);
    expect(await redis.exists(held)).toBe(0);
  });

  it("reads an epoch anew for each turn of the event loop, once for all who ask in it", async () => {
    const { project } = setUp();
    const together = [ledger.epoch(project), ledger.epoch(project)];
    expect(together[0]).toBe(together[1]);
    await Promise.all(together);
    expect(ledger.epoch(project)).not.toBe(together[0]);
  });

  it("fails with a typed, retryable error while Redis is away", async () => {
    const away = new Redis("redis://127.0.0.1:1", { maxRetriesPerRequest: 0, retryStrategy: () => null });
    away.on("error", () => undefined);
    await expect(new Ledger(away).epoch(parseProjectName("p"))).rejects.toMatchObject({ code: "ledger.unavailable", retryable: true });
    away.disconnect();
  });
});
