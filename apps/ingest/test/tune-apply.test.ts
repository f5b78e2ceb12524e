import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { embeddingSpaceOf } from "@millrace/embedding";
import { connectRedis, loadConfig } from "@millrace/runtime";
import { freePort, seeded, startMilvusStandIn, startRedis, type TestMilvusLite, type TestRedis } from "@millrace/testing";
import { afterAll, beforeAll, expect, test } from "vitest";

/**
 * `millrace tune --apply` on a whole installation at work. Its Milvus is a stand-in, Milvus Lite under Milvus's name: seen are the steps, in their order, over
 * gRPC, and that running processes take the choice; not how long Milvus itself takes for them.
 */
const command = fileURLToPath(new URL("../bin/millrace.js", import.meta.url));
const run = promisify(execFile);
const documents = 12;
const sentencesEach = 200;

let folder: string;
let logPath: string;
let redis: TestRedis;
let milvus: TestMilvusLite;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-apply-"));
  logPath = join(folder, "milvus.log");
  [redis, milvus] = await Promise.all([startRedis(), startMilvusStandIn(logPath)]);
  env = {
    PATH: process.env["PATH"],
    HOME: folder,
    MILLRACE_HOME: join(folder, "home"),
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: String(await freePort()),
    MILLRACE_DASHBOARD_PORT: String(await freePort()),
    MILLRACE_CHUNK_TOKENS_MAX: "16",
    MILLRACE_CHUNK_TOKENS_OVERLAP: "0",
    MILVUS_ADDRESS: milvus.address,
    REDIS_QUEUE_URL: redis.url,
  };
  await writeDocuments();
  // As if chosen before: an index that is not among the candidates, so that whatever is chosen is to be built.
  const connection = connectRedis(redis.url, "queue", () => undefined);
  const chosenBefore = { type: "HNSW", build: { M: 4, efConstruction: 50 }, search: { ef: 777 } };
  await connection.set(`millrace:index:${embeddingSpaceOf(loadConfig(env)).fingerprint}`, JSON.stringify(chosenBefore));
  connection.disconnect();
}, 120_000);
afterAll(async () => {
  await millrace("down");
  await Promise.all([redis.stop(), milvus.stop()]);
  await rm(folder, { recursive: true, force: true });
}, 60_000);

async function millrace(...args: string[]): Promise<string> {
  return (await run(process.execPath, [command, ...args], { env, cwd: folder, maxBuffer: 16 * 1024 * 1024 })).stdout;
}

/** Sentences of about a chunk each, which begin with a word of their own. */
async function writeDocuments(): Promise<void> {
  const random = seeded(12);
  const words =
    "mill wheel water river grain stone flour sack miller spring winter bridge boat stream gear belt dust oven bread rain".split(" ");
  const some = (): string => Array.from({ length: 7 }, () => words[Math.floor(random() * words.length)]).join(" ");
  await mkdir(join(folder, "docs"));
  for (let index = 0; index < documents; index++) {
    const text = Array.from({ length: sentencesEach }, (_, at) => `${ownWord(index, at)} ${some()}.\n\n`).join("");
    await writeFile(join(folder, "docs", `${index}.txt`), text);
  }
}

function ownWord(document: number, sentence: number): string {
  return `q${document}x${sentence}`;
}

async function topHit(query: string): Promise<{ source: string; text: string } | undefined> {
  const reply = JSON.parse(await millrace("search", query, "--project", "p", "--json")) as { data: { source: string; text: string }[] };
  return reply.data[0];
}

interface Told {
  readonly collection: string;
  readonly search?: string;
  readonly index?: string;
  readonly type?: string;
  readonly params?: Readonly<Record<string, number>>;
}

/** What Milvus was told about the vectors of the installation. */
async function told(): Promise<Told[]> {
  const lines = (await readFile(logPath, "utf8")).trim().split("\n");
  const all = lines.map((line) => JSON.parse(line) as Told);
  return all.filter(({ collection, search, index }) => !collection.startsWith("tune_") && (search ?? index) === "dense");
}
const searches = async (): Promise<Told[]> => (await told()).filter(({ search }) => search !== undefined);
const builds = async (): Promise<(string | undefined)[]> =>
  (await told()).filter(({ index }) => index !== undefined).map(({ type }) => type);

test("the choice is built, kept, and taken by the processes that run", { timeout: 300_000 }, async () => {
  await millrace("up", "--detach");
  await millrace("ingest", "docs", "--project", "p");
  const expectFound = async (sentence: number): Promise<void> => {
    const word = ownWord(3, sentence);
    expect(await topHit(`${word} water wheel`)).toMatchObject({ source: "3.txt", text: expect.stringContaining(`${word} `) });
  };
  await expectFound(0);
  expect(await builds()).toEqual(["HNSW"]);
  expect((await searches()).at(-1)?.params).toEqual({ ef: 777 });

  const out = await millrace("tune", "--apply", "--rows", "2000", "--queries", "20", "--recall", "0.9", "--json");
  const choice = JSON.parse(out.trim().split("\n").at(-1) ?? "") as { event: string; type: string; search: Record<string, number> };
  expect(choice).toMatchObject({ event: "choice", type: expect.stringMatching(/^(HNSW|IVF_FLAT)$/) });
  expect(await builds()).toEqual(["HNSW", choice.type]);

  // Other questions, as answers are kept; each search finds what it should, before the choice has come through and after.
  const appliedAt = performance.now();
  for (let next = 1; ; next++) {
    await expectFound(next);
    if (JSON.stringify((await searches()).at(-1)?.params) === JSON.stringify(choice.search)) break;
    expect(performance.now() - appliedAt).toBeLessThan(20_000);
  }
  await writeFile(join(folder, "docs", "new.txt"), "A heron stands in the mill pond and waits for frogs.");
  await millrace("ingest", "docs", "--project", "p");
  expect(await topHit("which bird waits for frogs")).toMatchObject({ source: "new.txt" });
  expect((await searches()).at(-1)?.params).toEqual(choice.search);
});
