import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chunkIdOf, parseProjectName } from "@millrace/core";
import { embeddingSpaceOf } from "@millrace/embedding";
import { Ledger } from "@millrace/ledger";
import { connectRedis, loadConfig } from "@millrace/runtime";
import { seeded, startMilvusLite, startRedis, type TestMilvusLite, type TestRedis } from "@millrace/testing";
import { MilvusVectorStore } from "@millrace/vector-store";
import { afterAll, beforeAll, expect, test } from "vitest";

/** `millrace tune --anyway` from the documents of an installation to the plot, on Milvus Lite, where only the choice cannot be applied. */
const command = fileURLToPath(new URL("../bin/millrace.js", import.meta.url));
const run = promisify(execFile);
const documents = 10;
const chunksEach = 215;

let home: string;
let redis: TestRedis;
let milvus: TestMilvusLite;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  [home, redis, milvus] = await Promise.all([mkdtemp(join(tmpdir(), "millrace-tune-")), startRedis(), startMilvusLite()]);
  env = {
    ...process.env,
    MILLRACE_HOME: home,
    MILLRACE_RUNTIME: loadConfig().runtime,
    REDIS_QUEUE_URL: redis.url,
    MILVUS_ADDRESS: milvus.address,
  };
  await fill();
}, 120_000);
afterAll(async () => {
  await Promise.all([redis.stop(), milvus.stop()]);
  await rm(home, { recursive: true, force: true });
});

/** Live documents with vectors of no meaning. */
async function fill(): Promise<void> {
  const connection = connectRedis(redis.url, "queue", () => undefined);
  const ledger = new Ledger(connection);
  const space = embeddingSpaceOf(loadConfig());
  const store = new MilvusVectorStore({ address: milvus.address, space, redis: connection });
  const random = seeded(8);
  const about = { contentHash: "0", fingerprint: "f", mediaType: "text/plain", bytes: 1, origin: "", ingestId: "i" } as const;
  for (let index = 0; index < documents; index++) {
    const [project, source] = [parseProjectName(`p${index % 2}`), `d${index}.txt`];
    const { documentId, generation } = await ledger.plan({ project, source, ...about });
    const ref = { project, documentId, generation };
    await ledger.begin(ref, "run");
    await ledger.advance(ref, { chunks: chunksEach, done: 0 });
    const records = Array.from({ length: chunksEach }, (_, ordinal) => {
      const vector = Float32Array.from({ length: space.dimension }, () => random() - 0.5);
      const length = Math.hypot(...vector);
      const chunk = { ordinal, text: `chunk ${ordinal}`, span: { start: 0, end: 7 }, headings: [], tokens: 2 };
      const facts = { source, mediaType: "text/plain", title: "", ingestedAt: 0, metadata: {} } as const;
      return {
        ...ref,
        ...facts,
        chunkId: chunkIdOf(project, documentId, generation, ordinal),
        chunk,
        vector: vector.map((value) => value / length),
      };
    });
    await store.upsert(records, new AbortController().signal);
    await ledger.switchLive(ref, { chunks: chunksEach, tokens: 2, title: "", metadata: {}, timings: {} });
  }
  await store.close();
  connection.disconnect();
}

test("measures indexes on a copy, names the fastest with the recall, draws a plot", { timeout: 240_000 }, async () => {
  const plot = join(home, "tune.svg");
  const { stdout } = await run(
    process.execPath,
    [command, "tune", "--anyway", "--rows", "2000", "--queries", "20", "--plot", plot, "--json"],
    { env },
  );
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; type: string; recall_at_100: number; p50_ms: number });
  const points = lines.filter(({ event }) => event === "point");
  expect(new Set(points.map(({ type }) => type))).toEqual(new Set(["HNSW", "IVF_FLAT"]));
  // Vectors of no meaning are the hardest there are: with little effort much is missed.
  expect(Math.min(...points.map((point) => point.recall_at_100))).toBeLessThan(0.7);
  const reached = points.filter((point) => point.recall_at_100 >= 0.95);
  const choice = lines.at(-1);
  expect(choice).toMatchObject({ event: "choice", plot });
  expect(reached.map(({ type }) => type)).toContain(choice?.type);
  expect(await readFile(plot, "utf8")).toContain("<svg ");
});
