import { documentIdOf } from "@millrace/core";
import { EmbeddingSpaces } from "@millrace/ledger";
import { afterAll, beforeAll, expect, test } from "vitest";
import { clean, makeTexts, Rig, seeded } from "./rig.ts";

/** What a job asks of Redis besides its document: no more than it needs, and all of that. */
let rig: Rig;
beforeAll(async () => {
  rig = await Rig.start();
});
afterAll(() => rig.close());

test("a worker with another model leaves a project's documents alone until one with the right model comes", {
  timeout: 60_000,
}, async () => {
  const { project, ledger, embedder } = rig;
  const spaces = new EmbeddingSpaces(rig.connection);
  await spaces.move(project, { ...embedder.space, fingerprint: "another" });
  const [[source = "", text = ""] = []] = makeTexts(1, 100, seeded(7), "space");
  await rig.ingest(new Map([[source, text]]));
  const documentId = documentIdOf(project, source);
  await rig.startWorker();
  await rig.until(30_000, "the worker to refuse", async () => (await ledger.get(project, documentId))?.failure !== undefined);
  const refused = await ledger.get(project, documentId);
  expect(refused).toMatchObject({
    failure: { code: "embed.space_mismatch", retryable: true },
    liveGeneration: undefined,
    pendingChunks: 0,
  });
  expect(await rig.embedded()).toMatchObject({ started: 0 });
  await spaces.move(project, embedder.space);
  await rig.settled(30_000);
  expect(await ledger.get(project, documentId)).toMatchObject({ state: "live" });
});

test("new documents leave nothing to collect, so nobody looks for it; what a new version replaces is collected at once", {
  timeout: 60_000,
}, async () => {
  const { project, ledger } = rig;
  const looks = async (): Promise<number> => Number(/cmdstat_hscan:calls=(\d+)/.exec(await rig.connection.info("commandstats"))?.[1] ?? 0);
  const before = await looks();
  const texts = makeTexts(60, 60, seeded(8), "new");
  await rig.ingest(texts);
  await rig.settled(30_000);
  // The sweep looks once in fifteen seconds.
  expect((await looks()) - before).toBeLessThan(10);
  await rig.ingest(new Map([...texts].map(([source, text]) => [source, `${text} again`])));
  await rig.settled(30_000);
  await rig.until(10_000, "the rows to be collected", async () => (await ledger.garbage(project, 1)).length === 0);
  expect(await rig.judge()).toMatchObject(clean);
});
