import {
  type ChunkRecord,
  chunkIdOf,
  documentIdOf,
  HashEmbedder,
  parseProjectName,
  parseSearchRequest,
  type SearchDeps,
  type StoredHit,
  search,
} from "@millrace/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { full, Rig, seeded } from "./rig.ts";

/** Deletes and replacements against searches that run all the time: after the reply, no hit of what is gone. */
const operations = full ? 2_000 : 200;
const searchers = 4;
const documents = 40;
const project = parseProjectName("gone");
const signal = new AbortController().signal;
const embedder = new HashEmbedder({ dimension: 64 });
const query = "the common words of all";

let rig: Rig;
beforeAll(async () => {
  rig = await Rig.start();
});
afterAll(() => rig.close());

/** A new version of a document through ledger and store, as a worker does it. */
async function goLive(source: string, version: number): Promise<string> {
  const { ledger, store } = rig;
  const request = {
    project,
    source,
    contentHash: `${source} ${version}`,
    fingerprint: "f",
    mediaType: "text/plain",
    bytes: 1,
    origin: "",
    ingestId: "i",
  } as const;
  const { documentId, generation } = await ledger.plan({ ...request, force: true });
  const ref = { project, documentId, generation };
  await ledger.begin(ref, "run");
  await ledger.advance(ref, { chunks: 2, done: 0 });
  const records: ChunkRecord[] = [];
  for (const ordinal of [0, 1]) {
    const text = `${query} ${source} version ${version} part ${ordinal}`;
    const [vector] = await embedder.embed([text], signal);
    const chunk = { ordinal, text, span: { start: 0, end: text.length }, headings: [], tokens: 9 };
    const chunkId = chunkIdOf(project, documentId, generation, ordinal);
    records.push({
      chunkId,
      ...ref,
      source,
      mediaType: "text/plain",
      title: "",
      ingestedAt: 0,
      metadata: {},
      chunk,
      vector: vector ?? new Float32Array(64),
    });
  }
  await store.upsert(records, signal);
  await ledger.switchLive(ref, { chunks: 2, tokens: 18, title: "", metadata: {}, timings: {} });
  return generation;
}

/** @returns how many hits of gone generations were seen */
async function storm(
  ledger: SearchDeps["ledger"],
  cache: SearchDeps["cache"],
  store: SearchDeps["store"] = rig.store,
): Promise<{ searches: number; stale: number }> {
  const random = seeded(7);
  /** Generations that are gone, with certainty: the call that ended them has answered. */
  const gone = new Set<string>();
  const live = new Map<string, string>();
  for (let index = 0; index < documents; index++) live.set(`d${index}`, await goLive(`d${index}`, 0));
  let running = true;
  let searches = 0;
  let stale = 0;
  const deps = {
    ledger,
    spaces: { of: async () => undefined },
    store,
    embedder,
    cache,
    serialise: (hits: readonly StoredHit[]) => Buffer.from(JSON.stringify(hits.map((hit) => hit.generation))),
  };
  const searching = Array.from({ length: searchers }, async () => {
    while (running) {
      const goneBefore = new Set(gone);
      const { serialisedHits } = await search(parseSearchRequest(project, { query, top_k: 20, mode: "dense" }), deps, () => signal);
      for (const generation of JSON.parse(Buffer.from(serialisedHits).toString()) as string[]) if (goneBefore.has(generation)) stale++;
      searches++;
      await new Promise((resolve) => setImmediate(resolve)); // an answer from memory lets nobody else have a turn
    }
  });
  for (let operation = 1; operation <= operations; operation++) {
    const source = `d${Math.floor(random() * documents)}`;
    const before = live.get(source);
    if (before !== undefined && random() < 0.5) {
      await rig.ledger.remove(project, documentIdOf(project, source));
      live.delete(source);
    } else live.set(source, await goLive(source, operation));
    if (before !== undefined) gone.add(before);
  }
  running = false;
  await Promise.all(searching);
  for (const source of live.keys()) await rig.ledger.remove(project, documentIdOf(project, source));
  return { searches, stale };
}

/** A cache that never forgets, so that only its key can keep it right. */
function memoryCache(): SearchDeps["cache"] {
  const entries = new Map<string, Uint8Array>();
  return {
    answer: async (key, compute, signal) => {
      const known = entries.get(key);
      if (known !== undefined) return { bytes: known, cache: "hit" };
      const { bytes } = await compute(signal());
      entries.set(key, bytes);
      return { bytes, cache: "miss" };
    },
  };
}

test("no search returns what a delete or a replacement has ended", { timeout: 600_000 }, async () => {
  const { searches, stale } = await storm(rig.ledger, memoryCache());
  console.log(`${operations} deletes and replacements, ${searches} searches: ${stale} hits of what was gone`);
  expect(searches).toBeGreaterThan(operations / 10);
  expect(stale).toBe(0);
});

test("control: without the ledger's word on each hit, and without the epoch in the key, it does", { timeout: 600_000 }, async () => {
  // Says of every row that it is live, by answering with whatever the store last gave.
  let rows: readonly StoredHit[] = [];
  const credulous: SearchDeps["ledger"] = {
    epoch: (of) => rig.ledger.epoch(of),
    liveGenerations: async () => new Map(rows.map((row) => [row.documentId, row.generation])),
  };
  const noCache: SearchDeps["cache"] = { answer: async (_key, compute, of) => ({ ...(await compute(of())), cache: "miss" }) };
  const listening = {
    search: async (...request: Parameters<SearchDeps["store"]["search"]>) => {
      rows = await rig.store.search(...request);
      return rows as StoredHit[];
    },
    searchKeywords: async () => [],
    vectors: async () => [],
    read: async () => [],
  };
  expect((await storm(credulous, noCache, listening)).stale).toBeGreaterThan(0);
  const frozenEpoch: SearchDeps["ledger"] = {
    epoch: async () => "1",
    liveGenerations: (of, ids) => rig.ledger.liveGenerations(of, ids),
  };
  expect((await storm(frozenEpoch, memoryCache())).stale).toBeGreaterThan(0);
});
