import { parseProjectName } from "@millrace/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { full, makeTexts, Rig, seeded } from "./rig.ts";

const waiting = full ? 10_000 : 1_000;
let rig: Rig;

beforeAll(async () => {
  rig = await Rig.start();
});
afterAll(() => rig.close());

/** How many documents of the large project went live between the arrival of a single one of another and its end. */
async function overtakenBy(urgency: "bulk" | "interactive", name: string): Promise<number> {
  const other = parseProjectName(name);
  await rig.ingest(makeTexts(1, 20, seeded(2), name), { project: other, urgency });
  await rig.settled(60_000, other);
  const [single] = (await rig.ledger.list({ project: other, limit: 1 })).entries;
  const { plannedAt = 0, liveAt: endedAt = 0 } = single ?? {};
  expect(endedAt).toBeGreaterThan(plannedAt);
  // By the clock of Redis, not by when this process got to look.
  let overtaken = 0;
  let cursor: string | undefined;
  do {
    const page = await rig.ledger.list({ project: rig.project, state: "live", limit: 1_000, ...(cursor === undefined ? {} : { cursor }) });
    overtaken += page.entries.filter(({ liveAt = 0 }) => liveAt > plannedAt && liveAt <= endedAt).length;
    cursor = page.next;
  } while (cursor !== undefined);
  return overtaken;
}

test("a project with many waiting documents delays another's single one by a few", { timeout: 300_000 }, async () => {
  await rig.ingest(makeTexts(waiting, 20, seeded(1)));
  await rig.startWorker({ MILLRACE_WORKER_CONCURRENCY: "4" });
  await rig.until(30_000, "the work to begin", async () => (await rig.settledCount()) > 20);
  const bulk = await overtakenBy("bulk", "small");
  const interactive = await overtakenBy("interactive", "upload");
  console.log(`${waiting} waiting; a single document of another project waited for ${bulk} (bulk), ${interactive} (interactive)`);
  // Those in flight when it came, and the one whose turn it was.
  expect(bulk).toBeLessThanOrEqual(10);
  expect(interactive).toBeLessThanOrEqual(10);
  expect(await rig.settledCount()).toBeLessThan(waiting);
});

test("what waits costs the queue Redis at most 2 KB a document beside its ledger entry", async () => {
  const jobs = await rig.producer.counts("documents");
  const keys = await rig.connection.keys("{millrace}:documents:*");
  const sizes = await Promise.all(keys.map((key) => rig.connection.memory("USAGE", key, "SAMPLES", "0")));
  const bytes = sizes.reduce<number>((sum, size) => sum + Number(size ?? 0), 0);
  expect(jobs.waiting).toBeGreaterThan(100);
  expect(bytes / (jobs.waiting + jobs.active)).toBeLessThan(2_048);
});
