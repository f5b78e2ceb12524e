import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chunkDocument, chunkIdOf, contentHashOf, documentIdOf, HashEmbedder, type ProjectName, parseProjectName } from "@millrace/core";
import { Ledger } from "@millrace/ledger";
import { type DocumentJob, Producer, type Urgency } from "@millrace/queue";
import { connectRedis, FileBlobStore } from "@millrace/runtime";
import { type FaultProxy, startFaultProxy, startMilvusLite, startRedis, type TestMilvusLite, type TestRedis } from "@millrace/testing";
import { MilvusVectorStore } from "@millrace/vector-store";
import { MilvusClient } from "@zilliz/milvus2-sdk-node";
import { parseText } from "../../src/parse/text.ts";

/** Full size with MILLRACE_CHAOS=full (`npm run chaos`), else a short form of the same. */
export const full = process.env["MILLRACE_CHAOS"] === "full";
const chunking = { tokensMax: 64, tokensOverlap: 8, tokensMin: 16 } as const;

const scripts = { real: new URL("./chaos-worker.mjs", import.meta.url), naive: new URL("./naive-worker.mjs", import.meta.url) } as const;

export { seeded } from "@millrace/testing";

/** What a document must look like in the end: worked out here from its bytes alone, by nothing that was under fire. */
interface Expected {
  readonly source: string;
  readonly texts: readonly string[];
}

export interface Verdict {
  readonly lost: string[];
  readonly doubled: string[];
  readonly stale: string[];
  readonly wrong: string[];
  /** Chunks that a search for their own vector does not return. */
  readonly unfindable: string[];
  readonly chunks: number;
}

/** Real Redis, real Milvus Lite, real workers as child processes, and a proxy before each server. */
export class Rig {
  readonly embedder = new HashEmbedder({ dimension: 64, tokensMax: 256 });
  readonly project: ProjectName = parseProjectName("chaos");
  readonly workers = new Set<ChildProcess>();
  readonly expected = new Map<string, Expected>();
  readonly redis: TestRedis;
  readonly milvus: TestMilvusLite;
  readonly redisProxy: FaultProxy;
  readonly milvusProxy: FaultProxy;
  readonly connection: ReturnType<typeof connectRedis>;
  readonly ledger: Ledger;
  readonly producer: Producer;
  readonly store: MilvusVectorStore;
  readonly blobs: FileBlobStore;
  readonly #home: string;
  readonly #msPerText: number;
  #closing = false;
  deaths = 0;

  constructor(home: string, redis: TestRedis, milvus: TestMilvusLite, redisProxy: FaultProxy, milvusProxy: FaultProxy, msPerText: number) {
    this.#home = home;
    this.#msPerText = msPerText;
    this.redis = redis;
    this.milvus = milvus;
    this.redisProxy = redisProxy;
    this.milvusProxy = milvusProxy;
    this.connection = connectRedis(redis.url, "queue", () => undefined);
    this.ledger = new Ledger(this.connection);
    this.producer = new Producer(this.connection);
    this.store = new MilvusVectorStore({ address: milvus.address, space: this.embedder.space, redis: this.connection });
    this.blobs = new FileBlobStore(join(home, "blobs"));
  }

  /** @param msPerText how long its workers' embedder takes for one */
  static async start(msPerText = 8): Promise<Rig> {
    const [home, redis, milvus] = await Promise.all([
      mkdtemp(join(tmpdir(), "millrace-chaos-")),
      startRedis({ args: ["--appendonly", "yes"] }),
      startMilvusLite(),
    ]);
    return new Rig(home, redis, milvus, await startFaultProxy(redis.port), await startFaultProxy(milvus.port), msPerText);
  }

  async close(): Promise<void> {
    this.#closing = true;
    for (const worker of this.workers) worker.kill("SIGKILL");
    await this.store.close();
    await this.producer.close();
    this.connection.disconnect();
    await Promise.all([this.redisProxy.close(), this.milvusProxy.close()]);
    await Promise.all([this.redis.stop(), this.milvus.stop()]);
    await rm(this.#home, { recursive: true, force: true });
  }

  /** Resolves when it is ready. One that dies is replaced by one without a wish to die, unless `replace` says otherwise. */
  async startWorker(
    extra: Readonly<Record<string, string>> = {},
    replace = true,
    kind: keyof typeof scripts = "real",
  ): Promise<ChildProcess> {
    const child = fork(fileURLToPath(scripts[kind]), [], {
      env: {
        PATH: process.env["PATH"],
        MILLRACE_HOME: this.#home,
        REDIS_QUEUE_URL: `redis://127.0.0.1:${this.redisProxy.port}`,
        MILVUS_ADDRESS: `127.0.0.1:${this.milvusProxy.port}`,
        MILLRACE_CHUNK_TOKENS_MAX: String(chunking.tokensMax),
        MILLRACE_CHUNK_TOKENS_OVERLAP: String(chunking.tokensOverlap),
        MILLRACE_AUDIT_SECONDS: "0",
        MILLRACE_LOG_LEVEL: process.env["CHAOS_LOG"] ?? "fatal",
        CHAOS_COUNTER_URL: this.redis.url,
        CHAOS_MS_PER_TEXT: String(this.#msPerText),
        ...extra,
      },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.workers.add(child);
    child.once("exit", () => {
      this.workers.delete(child);
      this.deaths++;
      if (replace && !this.#closing) void this.startWorker();
    });
    await Promise.race([once(child, "message"), once(child, "exit")]);
    return child;
  }

  /** Enqueues new documents, or new versions where the sources are known; what they must become is noted. */
  async ingest(
    texts: ReadonlyMap<string, string>,
    options: { project?: ProjectName; urgency?: Urgency; ingestId?: string } = {},
  ): Promise<void> {
    const { project = this.project, urgency = "bulk", ingestId = "chaos" } = options;
    const jobs: DocumentJob[] = [];
    for (const [source, text] of texts) {
      const bytes = new TextEncoder().encode(text);
      const contentHash = contentHashOf(bytes);
      await this.blobs.put(contentHash, bytes, new AbortController().signal);
      const request = {
        project,
        source,
        contentHash,
        fingerprint: "chaos",
        mediaType: "text/plain",
        bytes: bytes.length,
        origin: "",
        ingestId,
      } as const;
      const { documentId, generation } = await this.ledger.plan(request);
      jobs.push({ version: 1, project, documentId, generation });
      const chunks = chunkDocument(await parseText(bytes), this.embedder.tokens, chunking);
      this.expected.set(`${project} ${documentId}`, { source, texts: chunks.map((chunk) => chunk.text) });
    }
    for (let from = 0; from < jobs.length; from += 500) await this.producer.addDocuments(project, jobs.slice(from, from + 500), urgency);
  }

  /** Resolves when nothing is pending any more, by asking the ledger. @throws when it takes longer than `msMax` */
  async settled(msMax: number, project = this.project): Promise<void> {
    await this.until(msMax, "everything to settle", async () => (await this.ledger.load(project)).documents === 0);
  }

  /** Waits for a condition of the outside world, which has no event to wait for. */
  async until(msMax: number, what: string, holds: () => Promise<boolean>): Promise<number> {
    const startedAt = performance.now();
    for (;;) {
      if (await holds().catch(() => false)) return performance.now() - startedAt;
      if (performance.now() - startedAt > msMax) {
        const counts = await this.ledger.countByState(this.project).catch(() => "Redis is away");
        throw new Error(`waited ${msMax} ms for ${what}; documents: ${JSON.stringify(counts)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  async settledCount(project = this.project): Promise<number> {
    const { live, failed, quarantined, empty } = await this.ledger.countByState(project);
    return live + failed + quarantined + empty;
  }

  /** Texts whose embedding was begun and completed, by all workers that ever ran. */
  async embedded(): Promise<{ started: number; completed: number }> {
    const [started, completed] = await this.connection.mget("chaos:started", "chaos:completed");
    return { started: Number(started ?? 0), completed: Number(completed ?? 0) };
  }

  get expectedChunks(): number {
    return [...this.expected.values()].reduce((sum, { texts }) => sum + texts.length, 0);
  }

  /** Compares every row with what must be there, once garbage has been collected, and searches for every chunk. */
  async judge(options: { search: boolean } = { search: true }): Promise<Verdict> {
    const { project, ledger, store } = this;
    const signal = new AbortController().signal;
    await this.producer.addCollection(project);
    await this.until(60_000, "garbage to be collected", async () => (await ledger.garbage(project, 1)).length === 0);
    const verdict: Verdict = { lost: [], doubled: [], stale: [], wrong: [], unfindable: [], chunks: 0 };
    const wanted = new Map<string, { source: string; text: string }>();
    for (const [name, { source, texts }] of this.expected) {
      if (!name.startsWith(`${project} `)) continue;
      const documentId = documentIdOf(project, source);
      const entry = await ledger.get(project, documentId);
      if (entry?.state !== "live" || entry.liveChunks !== texts.length)
        verdict.lost.push(`${source}: ${entry?.state} ${entry?.failure?.message ?? ""}`);
      for (const [ordinal, text] of texts.entries())
        wanted.set(chunkIdOf(project, documentId, entry?.liveGeneration ?? "", ordinal), { source, text });
    }
    const seen = new Set<string>();
    for await (const rows of store.scan(project, signal)) {
      for (const { chunkId, documentId } of rows) {
        if (seen.has(chunkId)) verdict.doubled.push(chunkId);
        seen.add(chunkId);
        if (!wanted.has(chunkId)) verdict.stale.push(`${documentId} ${chunkId}`);
      }
    }
    const keys = [...wanted.keys()];
    const found = new Map<string, Float32Array>();
    for (let from = 0; from < keys.length; from += 500) {
      for (const { chunkId, text, vector } of await store.vectors(project, keys.slice(from, from + 500), signal)) {
        verdict.wrong.push(...(text === wanted.get(chunkId)?.text ? [] : [chunkId]));
        const [right] = await this.embedder.embed([text], signal);
        if (right === undefined || right.some((value, index) => Math.abs(value - (vector[index] ?? 0)) > 1e-6)) verdict.wrong.push(chunkId);
        if (options.search) found.set(chunkId, vector);
      }
    }
    verdict.unfindable.push(...(await this.#unfindable(found)));
    for (const [chunkId, { source }] of wanted) if (!seen.has(chunkId)) verdict.lost.push(`${source} ${chunkId}`);
    return { ...verdict, chunks: wanted.size };
  }

  /** Chunks that a search for their own vector does not return. Milvus Lite is asked directly: many vectors in one request cost it little more than one. */
  async #unfindable(vectors: ReadonlyMap<string, Float32Array>): Promise<string[]> {
    if (vectors.size === 0) return [];
    const client = new MilvusClient({ address: this.milvus.address, logLevel: "error", telemetry: { enabled: false } });
    const entries = [...vectors];
    const lost: string[] = [];
    try {
      await client.connectPromise;
      const [collection = ""] = (await client.showCollections()).data.map(({ name }) => name);
      for (let from = 0; from < entries.length; from += 64) {
        const batch = entries.slice(from, from + 64);
        const { results, status } = await client.search({
          collection_name: collection,
          anns_field: "dense",
          metric_type: "COSINE",
          data: batch.map(([, vector]) => Array.from(vector)),
          limit: 5,
          filter: `project == "${this.project}"`,
          output_fields: ["chunk_id"],
        });
        if (status.error_code !== "Success") throw new Error(`searching failed: ${status.reason}`);
        // One list of hits for each vector; a plain one where there is only one.
        const lists = (batch.length === 1 ? [results] : results) as unknown as readonly (readonly { chunk_id: string }[])[];
        for (const [index, [chunkId]] of batch.entries()) {
          if (lists[index]?.some((hit) => hit.chunk_id === chunkId) !== true) lost.push(chunkId);
        }
      }
    } finally {
      await client.closeConnection();
    }
    return lost;
  }
}

/** Texts of random words, each its own; `words` of them on average. */
export function makeTexts(count: number, words: number, random: () => number, prefix = "doc"): Map<string, string> {
  const texts = new Map<string, string>();
  for (let index = 0; index < count; index++) {
    const length = Math.max(5, Math.round(words * (0.5 + random())));
    const line = Array.from({ length }, () => wordOf(random)).join(" ");
    texts.set(`${prefix}-${String(index).padStart(5, "0")}.txt`, `Document ${index} of ${prefix}.\n\n${line}\n`);
  }
  return texts;
}

function wordOf(random: () => number): string {
  const letters = 3 + Math.floor(random() * 5);
  return Array.from({ length: letters }, () => "abcdefghijklmnoprstuvwxyz"[Math.floor(random() * 25)] ?? "a").join("");
}

export const clean = { lost: [], doubled: [], stale: [], wrong: [], unfindable: [] };
