import { once } from "node:events";
import { chunkIdOf, documentIdOf } from "@millrace/core";
import { Reconciler } from "@millrace/ledger";
import { afterAll, beforeAll, expect, test } from "vitest";
import { clean, full, makeTexts, Rig, seeded } from "./rig.ts";

/** Workers are killed at named points and at random times; in the end every document is there once, whole, and finds itself. */
const seed = 4;
const documents = full ? 2_000 : 120;
const kills = full ? 200 : 8;
const killPoints = ["parse", "chunk", "embed", "mid-embed", "write", "verify", "switch", "done", "in-shutdown"];
const signal = new AbortController().signal;

let rig: Rig;
const random = seeded(seed);

beforeAll(async () => {
  // Two workers embed 100 chunks a second, as two cores do with the real model: how much a death takes with it is a matter of that.
  rig = await Rig.start(20);
});
afterAll(() => rig.close());

test("a document survives the death of its worker at every named point", { timeout: 300_000 }, async () => {
  for (const point of killPoints) {
    const worker = await rig.startWorker({ CHAOS_KILL_AT: point }, false);
    const exited = once(worker, "exit");
    await rig.ingest(makeTexts(4, 400, random, `at-${point}`));
    if (point === "in-shutdown") worker.kill("SIGTERM");
    expect((await exited)[1]).toBe("SIGKILL");
  }
  await rig.startWorker({}, false);
  await rig.settled(120_000);
  expect(await rig.judge()).toMatchObject(clean);
  for (const worker of rig.workers) worker.kill("SIGKILL");
});

test("nothing is lost, doubled, stale or embedded much twice in a storm of kills", { timeout: 1_800_000 }, async () => {
  const first = rig.expectedChunks;
  const before = await rig.embedded();
  const texts = makeTexts(documents, 500, random);
  await rig.ingest(texts);
  rig.deaths = 0;
  await Promise.all([rig.startWorker(), rig.startWorker()]);
  // As many kills, spread over the work: one for every so many documents that have settled, at a random moment after that.
  for (let kill = 1; kill <= kills; kill++) {
    const due = Math.floor((documents * kill) / (kills + 2));
    await rig.until(120_000, "progress", async () => (await rig.settledCount()) - killPoints.length * 4 >= due);
    await new Promise((resolve) => setTimeout(resolve, random() * 60));
    const victims = [...rig.workers];
    const victim = victims[Math.floor(random() * victims.length)];
    if (victim !== undefined) {
      victim.kill("SIGKILL");
      await once(victim, "exit");
    }
  }
  await rig.settled(300_000);
  const after = await rig.embedded();
  const verdict = await rig.judge({ search: true });
  const completed = after.completed - before.completed;
  const chunks = verdict.chunks - first;
  const repeated = (completed - chunks) / chunks;
  const begunTwice = (after.started - before.started - chunks) / chunks;
  console.log(
    `kill storm, seed ${seed}: ${documents} documents, ${chunks} chunks, ${rig.deaths} deaths; embedded twice ${percent(repeated)}, begun twice ${percent(begunTwice)}`,
  );
  expect(verdict).toMatchObject(clean);
  expect((await rig.ledger.countByState(rig.project)).failed).toBe(0);
  expect((await rig.ledger.countByState(rig.project)).quarantined).toBe(0);
  expect(rig.deaths).toBeGreaterThanOrEqual(kills);
  // A kill takes what was being embedded with it; what had been written is found again.
  expect(repeated).toBeLessThanOrEqual(0.05);
});

test("a document that kills whatever works on it takes none of those with it that were under way beside it", {
  timeout: 600_000,
}, async () => {
  const companions = makeTexts(12, 400, random, "beside");
  const poison = documentIdOf(rig.project, "poison.txt");
  await rig.startWorker();
  const before = await rig.settledCount();
  await rig.ingest(new Map([["poison.txt", "This is poison."], ...companions]));
  // Taken with it each time, they would get through only after its quarantine.
  await rig.until(120_000, "its companions", async () => (await rig.settledCount()) - before === companions.size);
  expect(await rig.ledger.get(rig.project, poison)).not.toMatchObject({ state: "quarantined" });
  if (full) {
    await rig.until(300_000, "its quarantine", async () => (await rig.ledger.get(rig.project, poison))?.state === "quarantined");
    expect((await rig.ledger.countByState(rig.project)).quarantined).toBe(1);
  }
  await rig.ledger.remove(rig.project, poison);
  rig.expected.delete(`${rig.project} ${poison}`);
  await rig.settled(60_000);
  expect(await rig.judge()).toMatchObject(clean);
});

test("an audit finds every row that was removed, left over or doubled behind our back, and repairs it in one pass", {
  timeout: 300_000,
}, async () => {
  const { project, store, ledger, blobs, producer } = rig;
  const reconciler = new Reconciler({ ledger, store, blobs, queue: producer });
  expect(await reconciler.audit(project, signal)).toEqual([]);
  const entries = (await ledger.list({ project, state: "live", limit: 1_000 })).entries;
  const count = Math.max(2, Math.floor(entries.length / 100));
  const tampered = {
    removed: entries.slice(0, count),
    stale: entries.slice(count, 2 * count),
    doubled: entries.slice(2 * count, 3 * count),
  };
  for (const entry of tampered.removed) {
    await store.delete(project, [chunkIdOf(project, entry.documentId, entry.liveGeneration ?? "", 0)], signal);
  }
  for (const [kind, chosen] of [
    ["stale", tampered.stale],
    ["doubled", tampered.doubled],
  ] as const) {
    for (const { documentId, liveGeneration = "", source } of chosen) {
      const chunkId = chunkIdOf(project, documentId, liveGeneration, 0);
      const [row] = await store.read(project, [chunkId], signal);
      const [vector] = await store.vectors(project, [chunkId], signal);
      if (row === undefined || vector === undefined) throw new Error(`${source} has no first row`);
      const { mediaType, title, ingestedAt, metadata, ordinal, text, span, headings, tokens } = row;
      const chunk = { ordinal, text, span, headings, tokens };
      const generation = kind === "stale" ? "0".repeat(24) : liveGeneration;
      const record = {
        chunkId: `${chunkId.slice(0, -4)}beef`,
        project,
        documentId,
        generation,
        source,
        mediaType,
        title,
        ingestedAt,
        metadata,
        chunk,
      };
      await store.upsert([{ ...record, vector: vector.vector }], signal);
    }
  }
  const findings = await reconciler.audit(project, signal);
  const found = (kind: string): string[] => findings.filter((finding) => finding.kind === kind).map(({ documentId }) => documentId);
  const ids = (chosen: typeof entries): string[] => chosen.map(({ documentId }) => documentId).sort();
  expect(found("rows_missing").sort()).toEqual(ids(tampered.removed));
  expect(found("rows_stale").sort()).toEqual(ids(tampered.stale));
  expect(found("rows_doubled").sort()).toEqual(ids(tampered.doubled));
  expect(findings).toHaveLength(3 * count);
  expect(await reconciler.repair(findings, signal)).toBe(3 * count);
  await rig.settled(60_000);
  await producer.addCollection(project);
  await rig.until(60_000, "collection", async () => (await ledger.garbage(project, 1)).length === 0);
  expect(await reconciler.audit(project, signal)).toEqual([]);
});

test("the oracle is not blind: it tells a lost row", async () => {
  const { project, store } = rig;
  const source = [...rig.expected.values()][0]?.source ?? "";
  const documentId = documentIdOf(project, source);
  const entry = await rig.ledger.get(project, documentId);
  const chunkId = chunkIdOf(project, documentId, entry?.liveGeneration ?? "", 0);
  await store.delete(project, [chunkId], signal);
  const verdict = await rig.judge({ search: false });
  expect(verdict.lost).toEqual([`${source} ${chunkId}`]);
});

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
