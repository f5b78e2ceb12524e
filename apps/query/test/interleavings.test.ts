import { AnswerCache, CacheRedis } from "@millrace/cache";
import {
  type ChunkRecord,
  chunkIdOf,
  documentIdOf,
  HashEmbedder,
  MemoryVectorStore,
  type ProjectName,
  parseProjectName,
  parseSearchRequest,
  type SearchDeps,
  search,
} from "@millrace/core";
import { Ledger } from "@millrace/ledger";
import { connectRedis } from "@millrace/runtime";
import { seeded, startRedis, type TestRedis } from "@millrace/testing";
import { afterAll, beforeAll, expect, test } from "vitest";

/**
 * Searches in two processes' worth of caches against deletes, replacements and bulk ingestion, on a real ledger and a real cache Redis. Every call of a search to
 * what it depends on waits before and after until it is drawn by lot, so that everything happens in every order. Full size with
 * MILLRACE_CHAOS=full, any other with MILLRACE_INTERLEAVINGS.
 */
const interleavings = Number(process.env["MILLRACE_INTERLEAVINGS"] ?? (process.env["MILLRACE_CHAOS"] === "full" ? 10_000 : 300));
const seed = Number(process.env["MILLRACE_INTERLEAVINGS_SEED"] ?? 20_261_125);
const signal = new AbortController().signal;
const embedder = new HashEmbedder({ dimension: 16 });
const query = "the common words of all";

let servers: TestRedis[];
let queue: ReturnType<typeof connectRedis>;
let processes: { ledger: Ledger; cacheRedis: CacheRedis; connections: ReturnType<typeof connectRedis>[] }[];
let counter = 0;

beforeAll(async () => {
  servers = [await startRedis(), await startRedis()];
  const [queueUrl = "", cacheUrl = ""] = servers.map(({ url }) => url);
  queue = connectRedis(queueUrl, "queue", () => undefined);
  processes = await Promise.all(
    [0, 1].map(async () => {
      const connections = [connectRedis(queueUrl, "queue", () => undefined), connectRedis(cacheUrl, "cache", () => undefined)] as const;
      await connections[1].ping().catch(() => new Promise((resolve) => connections[1].once("ready", resolve)));
      // Patient: a busy machine must not turn hits into misses here.
      return {
        ledger: new Ledger(connections[0]),
        cacheRedis: new CacheRedis(connections[1], { timeoutMs: 5_000 }),
        connections: [...connections],
      };
    }),
  );
});
afterAll(async () => {
  for (const { connections } of processes) for (const each of connections) each.disconnect();
  queue.disconnect();
  for (const server of servers) await server.stop();
});

/** How a run departs from the plain one; controls depart from what is right. */
interface Departure {
  readonly ledger?: (ledger: Ledger) => SearchDeps["ledger"];
  /** Leaves the hold of a bulk switch in place for ever. */
  readonly endlessHold?: boolean;
  /** Answers may be stale, but never hold what was deleted; a control keeps them over deletes, too. */
  readonly staleAnswers?: "until a delete" | "over deletes";
}

interface Outcome {
  searches: number;
  hits: number;
  /** Answers from content that has changed since. */
  old: number;
  /** Answers with what was gone, or without what was live, when they were asked for. */
  stale: number;
}

async function interleave(random: () => number, departure: Departure, outcome: Outcome): Promise<void> {
  const project = parseProjectName(`x${++counter}`);
  const store = new MemoryVectorStore(16);
  const writer = new Ledger(queue);
  const gates: (() => void)[] = [];
  const gated =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await new Promise<void>((open) => gates.push(open));
      const result = await call(...args);
      await new Promise<void>((open) => gates.push(open));
      return result;
    };

  /** Generations that are gone, and those that must be found: the call that made them so has answered. */
  const gone = new Set<string>();
  const live = new Map<string, string>();
  /** All that a source ever was. */
  const versions = new Map<string, string[]>();
  const mayBeOld = departure.staleAnswers !== undefined;
  /** Documents that something is being done to. */
  const inChange = new Map<string, number>();

  const goLive = async (source: string, ingestId: string): Promise<void> => {
    inChange.set(source, (inChange.get(source) ?? 0) + 1);
    const before = live.get(source);
    const ref = await plan(writer, project, source, ingestId);
    await writer.begin(ref, "run");
    await store.upsert([recordOf(ref, source)], signal);
    await gated(() => writer.switchLive(ref, { chunks: 1, tokens: 9, title: "", metadata: {}, timings: {} }))();
    live.set(source, ref.generation);
    versions.set(source, [...(versions.get(source) ?? []), ref.generation]);
    if (before !== undefined && !mayBeOld) gone.add(before);
    // A bulk switch shows within the hold, whose end comes at some moment.
    if (ingestId === "bulk") {
      shown.add(ref.generation);
      if (before !== undefined) gone.delete(before);
      fading.push(before);
    }
    inChange.set(source, (inChange.get(source) ?? 1) - 1);
  };
  /** Bulk switches before the end of their hold: may be missing, and what they replaced may be seen. */
  const shown = new Set<string>();
  const fading: (string | undefined)[] = [];
  const endHold = async (): Promise<void> => {
    const [generations, replaced] = [[...shown], fading.splice(0)];
    if (departure.endlessHold !== true) await queue.pexpire(`millrace:{${project}}:epoch:held`, 0);
    for (const each of generations) shown.delete(each);
    for (const each of replaced) if (each !== undefined && !mayBeOld) gone.add(each);
  };
  const remove = async (source: string): Promise<void> => {
    inChange.set(source, (inChange.get(source) ?? 0) + 1);
    const before = live.get(source);
    await gated(() => writer.remove(project, documentIdOf(project, source)))();
    live.delete(source);
    if (before !== undefined) for (const generation of mayBeOld ? (versions.get(source) ?? []) : [before]) gone.add(generation);
    inChange.set(source, (inChange.get(source) ?? 1) - 1);
  };

  const lookFor = async (cache: AnswerCache, ledger: SearchDeps["ledger"], gate: typeof gated): Promise<void> => {
    const mustNot = new Set(gone);
    const must = [...live].filter(([source, generation]) => !(inChange.get(source) ?? 0) && !shown.has(generation));
    const { bytes, cached } = await ask(cache, ledger, gate);
    outcome.searches++;
    if (cached === "hit") outcome.hits++;
    if (cached === "stale") outcome.old++;
    const found = new Set(JSON.parse(bytes) as string[]);
    const lost = (mayBeOld ? [] : must).filter(
      ([source, generation]) => live.get(source) === generation && !inChange.get(source) && !found.has(generation),
    );
    if ([...found].some((generation) => mustNot.has(generation)) || lost.length > 0) outcome.stale++;
  };
  const ask = async (cache: AnswerCache, ledger: SearchDeps["ledger"], gate: typeof gated) => {
    const deps: SearchDeps = {
      ledger: { epoch: gate((of) => ledger.epoch(of)), liveGenerations: gate((of, ids) => ledger.liveGenerations(of, ids)) },
      store: Object.assign(Object.create(store) as MemoryVectorStore, {
        search: gate((...request: Parameters<MemoryVectorStore["search"]>) => store.search(...request)),
      }),
      embedder,
      ...(mayBeOld ? { deletions: gate(async (of) => (departure.staleAnswers === "over deletes" ? "0" : writer.deletions(of))) } : {}),
      spaces: { of: async () => undefined },
      cache,
      serialise: (hits) => Buffer.from(JSON.stringify(hits.map((hit) => hit.generation))),
    };
    const request = parseSearchRequest(project, { query, top_k: 50, mode: "dense" });
    const { serialisedHits, cache: cached } = await search(request, deps, () => signal);
    return { bytes: Buffer.from(serialisedHits).toString(), cached };
  };

  const sources = ["a", "b", "c"];
  let running = true;
  const scheduler = (async () => {
    while (running) {
      const [gate] = gates.length === 0 ? [] : gates.splice(Math.floor(random() * gates.length), 1);
      gate?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  await plan(writer, project, "never-live", "bulk"); // others of the bulk ingest are never its last
  await goLive("a", "single");
  const caches = processes.map(({ cacheRedis }) => newCache(cacheRedis));
  const ledgers = processes.map(({ ledger }) => departure.ledger?.(ledger) ?? ledger);
  await Promise.all([
    (async () => {
      for (let step = 0; step < 4; step++) {
        const source = sources[Math.floor(random() * sources.length)] ?? "a";
        const lot = random();
        if (lot < 0.35) await remove(source);
        else if (lot < 0.65) await goLive(source, "single");
        else if (lot < 0.9) await goLive(source, "bulk");
        else await endHold();
      }
    })(),
    ...[0, 1, 1].map(async (index) => {
      for (let turn = 0; turn < 3; turn++) await lookFor(caches[index] as AnswerCache, ledgers[index] as Ledger, gated);
    }),
  ]);
  await endHold();
  for (const index of [0, 1]) await lookFor(caches[index] as AnswerCache, ledgers[index] as Ledger, gated);
  running = false;
  await scheduler;
}

async function plan(ledger: Ledger, project: ProjectName, source: string, ingestId: string) {
  const facts = { contentHash: source, fingerprint: "f", mediaType: "text/plain", bytes: 1, origin: "", force: true } as const;
  const { documentId, generation } = await ledger.plan({ project, source, ingestId, ...facts });
  return { project, documentId, generation };
}

function recordOf(ref: { project: ProjectName; documentId: string; generation: string }, source: string): ChunkRecord {
  const text = `${query} ${source}`;
  const chunk = { ordinal: 0, text, span: { start: 0, end: text.length }, headings: [], tokens: 9 };
  const chunkId = chunkIdOf(ref.project, ref.documentId, ref.generation, 0);
  const vector = new Float32Array(16).fill(0.25);
  return { chunkId, ...ref, source, mediaType: "text/plain", title: "", ingestedAt: 0, metadata: {}, chunk, vector };
}

const newCache = (redis: CacheRedis): AnswerCache =>
  new AnswerCache({ redis, memoryBytesMax: 1_000_000, ttlSeconds: 600, emptyTtlSeconds: 600, staleSeconds: 600 });

async function run(count: number, departure: Departure = {}): Promise<Outcome> {
  const random = seeded(seed);
  const outcome: Outcome = { searches: 0, hits: 0, old: 0, stale: 0 };
  for (let index = 0; index < count; index++) await interleave(random, departure, outcome);
  return outcome;
}

test("no interleaving of searches, deletes, replacements and bulk ingestion gives a stale answer", { timeout: 1_200_000 }, async () => {
  const outcome = await run(interleavings);
  console.log(`${interleavings} interleavings (seed ${seed}): ${JSON.stringify(outcome)}`);
  expect(outcome.hits).toBeGreaterThan(interleavings);
  expect(outcome.stale).toBe(0);
});

test("where answers may be old, they never hold what was deleted", { timeout: 1_200_000 }, async () => {
  const outcome = await run(interleavings, { staleAnswers: "until a delete" });
  console.log(`${interleavings} interleavings with stale answers (seed ${seed}): ${JSON.stringify(outcome)}`);
  expect(outcome.old).toBeGreaterThan(interleavings / 10);
  expect(outcome.stale).toBe(0);
});

test("control: stale answers that are kept over deletes hold it", { timeout: 120_000 }, async () => {
  expect((await run(100, { staleAnswers: "over deletes" })).stale).toBeGreaterThan(0);
});

test("control: without the epoch in the key they do", { timeout: 120_000 }, async () => {
  const frozen: Departure = {
    ledger: (ledger) => ({ epoch: async () => "1", liveGenerations: (of, ids) => ledger.liveGenerations(of, ids) }),
  };
  expect((await run(50, frozen)).stale).toBeGreaterThan(0);
});

test("control: with an epoch kept in the process, that is told of changes a moment late, they do", { timeout: 120_000 }, async () => {
  const late: Departure = {
    ledger: (ledger) => {
      let known: string | undefined;
      return {
        epoch: async (of) => {
          const next = ledger.epoch(of);
          const answer = known ?? (await next);
          known = await next;
          return answer;
        },
        liveGenerations: (of, ids) => ledger.liveGenerations(of, ids),
      };
    },
  };
  expect((await run(200, late)).stale).toBeGreaterThan(0);
});

test("control: with a hold that never ends they do", { timeout: 120_000 }, async () => {
  expect((await run(500, { endlessHold: true })).stale).toBeGreaterThan(0);
});
