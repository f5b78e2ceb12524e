import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { chunkIdsOf, documentIdOf, dot, parseProjectName } from "@millrace/core";
import { embeddingSpaceOf } from "@millrace/embedding";
import { Ledger } from "@millrace/ledger";
import { connectRedis, loadConfig } from "@millrace/runtime";
import { readRunState } from "@millrace/stack";
import { MilvusVectorStore } from "@millrace/vector-store";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";

/** The folder is the truth, and the documents follow it: on the built command, with everything real. */
const command = fileURLToPath(new URL("../bin/millrace.js", import.meta.url));
const signal = new AbortController().signal;
const config = loadConfig();

let home: string;
let env: NodeJS.ProcessEnv;
let folder: string;
let project: string;
let redis: ReturnType<typeof connectRedis>;
let ledger: Ledger;
let store: MilvusVectorStore;
let counter = 0;

interface Line {
  readonly event: string;
  readonly [key: string]: unknown;
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-sync-"));
  env = { ...process.env, MILLRACE_HOME: home, MILLRACE_RUNTIME: config.runtime, MILLRACE_PORT: "7461", MILLRACE_DASHBOARD_PORT: "7462" };
  expect((await millrace("up", "--detach")).code).toBe(0);
  const state = await readRunState(home);
  redis = connectRedis(state?.redisQueueUrl ?? "", "queue", () => undefined);
  ledger = new Ledger(redis);
  const space = embeddingSpaceOf(config);
  store = new MilvusVectorStore({ address: state?.milvusAddress ?? "", space, redis });
});

afterAll(async () => {
  await store?.close();
  redis?.disconnect();
  await millrace("down");
  await rm(home, { recursive: true, force: true });
});

beforeEach(async () => {
  project = `sync-${++counter}`;
  folder = await mkdtemp(join(home, "docs-"));
  for (const name of ["a", "b", "c"]) await writeFile(join(folder, `${name}.md`), `# ${name}\n\nAll about ${name}.\n`);
});

function millrace(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], { env, maxBuffer: 1e8 }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : 1, stdout, stderr });
    });
  });
}

async function ingest(...args: string[]): Promise<{ code: number; lines: Line[]; summary: Line; stderr: string }> {
  const { code, stdout, stderr } = await millrace("ingest", folder, "--project", project, "--json", ...args);
  const lines = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
  return { code, lines, summary: lines.at(-1) ?? { event: "none" }, stderr };
}

async function sources(): Promise<string[]> {
  return (await ledger.list({ project: parseProjectName(project), limit: 100 })).entries.map(({ source, state }) => `${source} ${state}`);
}

test("deletes what is gone below the folder, only when asked, and nothing elsewhere", async () => {
  await ingest();
  const elsewhere = await mkdtemp(join(home, "elsewhere-"));
  await writeFile(join(elsewhere, "z.md"), "# z");
  await millrace("ingest", elsewhere, "--project", project);
  await unlink(join(folder, "b.md"));
  expect((await ingest()).summary).toMatchObject({ deleted: 0, unchanged: 2 });
  expect(await sources()).toEqual(["a.md live", "b.md live", "c.md live", "z.md live"]);
  const { summary, lines } = await ingest("--prune");
  expect(summary).toMatchObject({ deleted: 1, renamed: 0, unchanged: 2 });
  expect(lines).toContainEqual(expect.objectContaining({ event: "deleted", source: "b.md" }));
  expect(await sources()).toEqual(["a.md live", "c.md live", "z.md live"]);
});

test("a large deletion needs a yes", async () => {
  for (let index = 0; index < 12; index++) await writeFile(join(folder, `n${index}.md`), `# n${index}`);
  await ingest();
  for (let index = 0; index < 12; index++) await unlink(join(folder, `n${index}.md`));
  const refused = await ingest("--prune");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/12 of the 15 documents .*prune\.unconfirmed/);
  expect(await sources()).toHaveLength(15);
  expect((await ingest("--prune", "--yes")).summary).toMatchObject({ deleted: 12 });
  expect(await sources()).toHaveLength(3);
});

test("a renamed file keeps its content findable and is not embedded again", async () => {
  await ingest();
  await rename(join(folder, "a.md"), join(folder, "renamed.md"));
  const { summary, lines } = await ingest("--prune");
  expect(summary).toMatchObject({ added: 1, deleted: 1, renamed: 1 });
  expect(lines).toContainEqual(expect.objectContaining({ event: "deleted", source: "a.md", renamed_to: "renamed.md" }));
  expect(await sources()).toEqual(["b.md live", "c.md live", "renamed.md live"]);
  expect(await embeddedChunks("renamed.md")).toBe(0);
});

test("an edited document embeds its new chunks only", async () => {
  const paragraph = (topic: string): string => `## ${topic}\n\n${`Everything about ${topic} that there is to say. `.repeat(40)}\n\n`;
  const topics = Array.from({ length: 20 }, (_, index) => `topic ${index}`);
  await writeFile(join(folder, "long.md"), topics.map(paragraph).join(""));
  await ingest();
  const first = await ledger.get(parseProjectName(project), documentIdOf(parseProjectName(project), "long.md"));
  expect(await embeddedChunks("long.md")).toBe(first?.liveChunks);
  topics[10] = "something else entirely";
  await writeFile(join(folder, "long.md"), topics.map(paragraph).join(""));
  expect((await ingest()).summary).toMatchObject({ updated: 1 });
  expect(first?.liveChunks).toBeGreaterThan(30);
  expect(await embeddedChunks("long.md")).toBeLessThanOrEqual(4);
});

test("a text under another title has another vector", async () => {
  const name = parseProjectName(project);
  const rows = async () => {
    const entry = await ledger.get(name, documentIdOf(name, "titled.md"));
    return store.vectors(name, chunkIdsOf(name, entry?.documentId ?? "", entry?.liveGeneration ?? "", entry?.liveChunks ?? 0), signal);
  };
  const write = (title: string) => writeFile(join(folder, "titled.md"), `---\ntitle: ${title}\n---\nIt turns while there is water.\n`);
  await write("The wheel of the mill");
  await ingest();
  const [before] = await rows();
  await write("Contracts of employment");
  await ingest();
  const [after] = await rows();
  expect(after).toMatchObject({ title: "Contracts of employment", text: before?.text });
  expect(dot(after?.vector ?? new Float32Array(), before?.vector ?? new Float32Array())).toBeLessThan(0.9);
});

test("a plan says what would happen, and nothing happens", async () => {
  await ingest();
  await writeFile(join(folder, "a.md"), "# a\n\nNow different.\n");
  await writeFile(join(folder, "new.md"), "# new\n");
  await copyFile(join(folder, "b.md"), join(folder, "copy.md"));
  await rename(join(folder, "c.md"), join(folder, "moved.md"));
  const before = await redis.hgetall(`millrace:{${project}}:doc:${documentIdOf(parseProjectName(project), "a.md")}`);
  const { lines, summary } = await ingest("--plan", "--prune");
  const actions = lines
    .filter(({ event }) => event === "plan")
    .map(({ action, source, reason = "" }) => `${action} ${source} ${reason}`.trim());
  expect(actions.sort()).toEqual([
    "add copy.md same content as b.md",
    "add moved.md renamed from c.md",
    "add new.md",
    "remove c.md",
    "unchanged b.md",
    "update a.md",
  ]);
  expect(summary).toMatchObject({ event: "plan_summary", add: 3, update: 1, remove: 1, unchanged: 1, fail: 0, estimated_chunks: 2 });
  expect(await redis.hgetall(`millrace:{${project}}:doc:${documentIdOf(parseProjectName(project), "a.md")}`)).toEqual(before);
  expect(await sources()).toEqual(["a.md live", "b.md live", "c.md live"]);
});

test("watching follows edits, new files, an editor's way to save, and deletions", async () => {
  await ingest();
  const child = spawn(process.execPath, [command, "ingest", folder, "--project", project, "--watch", "--json"], { env });
  const printed = linesOf(child.stdout);
  const notes = linesOf(child.stderr);
  const seen = (lines: readonly string[], ...texts: string[]): Promise<string> =>
    vi.waitUntil(() => lines.find((line) => texts.every((text) => line.includes(text))), { timeout: 30_000 });
  await seen(notes, "Watching");
  await mkdir(join(folder, "deep"));
  await writeFile(join(folder, "deep", "new.md"), "# New");
  await seen(printed, '"source":"deep/new.md"');
  // Written beside and renamed over, with the old one moved away for a moment.
  await writeFile(join(folder, ".a.md.swp"), "# a\n\nSaved by an editor.\n");
  await rename(join(folder, "a.md"), join(folder, "a.md~"));
  await rename(join(folder, ".a.md.swp"), join(folder, "a.md"));
  await unlink(join(folder, "a.md~"));
  await seen(printed, '"source":"a.md"', '"outcome":"updated"');
  await unlink(join(folder, "b.md"));
  await seen(printed, '"event":"deleted"');
  expect(printed.filter((line) => line.includes('"event":"deleted"'))).toEqual([expect.stringContaining('"source":"b.md"')]);
  child.kill("SIGINT");
  expect((await once(child, "exit"))[0]).toBe(0);
  expect(await sources()).toEqual(["a.md live", "c.md live", "deep/new.md live"]);
});

test("metadata given by hand are kept, and other ones are another version", async () => {
  await ingest("--metadata", "team=search", "--metadata", "year=2024");
  const show = JSON.parse((await millrace("docs", "show", "a.md", "--project", project)).stdout) as Line;
  expect(show["metadata"]).toEqual({ team: "search", year: 2024 });
  expect((await ingest("--metadata", "team=search", "--metadata", "year=2024")).summary).toMatchObject({ unchanged: 3 });
  expect((await ingest("--metadata", "team=storage")).summary).toMatchObject({ updated: 3 });
});

test("resume gives a job back to what lost it", async () => {
  // The workers' sweep would do the same; its lease keeps it away, and one that is under way ends meanwhile.
  await redis.set("millrace:lease:sweep", "test", "EX", 60);
  await ingest();
  // A producer that died between ledger and queue.
  const name = parseProjectName(project);
  const entry = await ledger.get(name, documentIdOf(name, "a.md"));
  if (entry?.mediaType === undefined) throw new Error("a.md is unknown");
  const { source, contentHash, fingerprint, mediaType, bytes, origin } = entry;
  await ledger.plan({ project: name, source, contentHash, fingerprint, mediaType, bytes, origin, ingestId: "lost", force: true });
  expect(await sources()).toContain("a.md queued");
  expect((await millrace("resume")).stdout).toContain("1 of them had no job and got one");
  await settled("lost");
  expect(await sources()).toEqual(["a.md live", "b.md live", "c.md live"]);
});

test("doctor finds what was changed behind our back, raises no false alarm, and repairs it in one pass", async () => {
  for (let index = 0; index < 40; index++)
    await writeFile(join(folder, `d${index}.md`), `# Document ${index}\n\nIt is about ${index * 7919}.\n`);
  await ingest();
  expect(await doctor("--all")).toMatchObject({ code: 0, findings: [] });
  const name = parseProjectName(project);
  const rowsOf = async (source: string): Promise<string[]> => {
    const entry = await ledger.get(name, documentIdOf(name, source));
    return chunkIdsOf(name, entry?.documentId ?? "", entry?.liveGeneration ?? "", entry?.liveChunks ?? 0);
  };
  const [template] = await store.read(name, await rowsOf("d3.md"), signal);
  const [vector] = await store.vectors(name, await rowsOf("d3.md"), signal);
  if (template === undefined || vector === undefined) throw new Error("d3.md has no rows");
  const { chunkId: _, generation, documentId, source, mediaType, title, ingestedAt, metadata, ...chunk } = template;
  const record = { project: name, documentId, generation, source, mediaType, title, ingestedAt, metadata, chunk, vector: vector.vector };
  await store.delete(name, await rowsOf("d1.md"), signal);
  await store.delete(name, await rowsOf("d2.md"), signal);
  await store.upsert(
    [
      { ...record, chunkId: "a".repeat(40), generation: "f".repeat(24) },
      { ...record, chunkId: "b".repeat(40) },
      { ...record, chunkId: "c".repeat(40), documentId: "d".repeat(32), source: "ghost.md" },
    ],
    signal,
  );
  const found = await doctor();
  expect(found.code).toBe(1);
  expect(found.findings.map(({ kind, source: of }) => `${kind} ${of}`).sort()).toEqual([
    "rows_doubled d3.md",
    "rows_missing d1.md",
    "rows_missing d2.md",
    "rows_stale d3.md",
    "rows_unknown ",
  ]);
  expect((await doctor("--fix")).summary).toMatchObject({ findings: 5, repaired: 5 });
  await settled("repair");
  expect(await doctor("--all")).toMatchObject({ code: 0, findings: [] });
});

async function doctor(...args: string[]): Promise<{ code: number; findings: Line[]; summary: Line | undefined }> {
  const { code, stdout } = await millrace("doctor", "--json", "--project", project, ...args);
  const lines = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
  return { code, findings: lines.filter(({ event }) => event === "finding"), summary: lines.at(-1) };
}

/** Fills as the lines come: nobody has to be listening just then. */
function linesOf(stream: Readable): string[] {
  const lines: string[] = [];
  createInterface({ input: stream }).on("line", (line) => lines.push(line));
  return lines;
}

/** Waits, by its events, until nothing of an ingest is pending. */
async function settled(ingestId: string): Promise<void> {
  const name = parseProjectName(project);
  const events = new Ledger(connectRedis((await readRunState(home))?.redisQueueUrl ?? "", "queue", () => undefined));
  let last = "0";
  while ((await ledger.openCount(name, ingestId)) > 0)
    last = (await events.readEvents(name, ingestId, last, 1_000)).at(-1)?.eventId ?? last;
}

/** Chunks of the last version of a document that were embedded, as its worker logs it, once the ledger knows. */
async function embeddedChunks(source: string): Promise<number | undefined> {
  const name = parseProjectName(project);
  const documentId = documentIdOf(name, source);
  const generation = (await ledger.get(name, documentId))?.liveGeneration;
  const line = await vi.waitFor(
    async () => {
      const lines = (await readFile(join(home, "logs", "worker-1.log"), "utf8")).split("\n");
      const found = lines.find((each) => each.includes(`"generation":"${generation}"`) && each.includes("document.processed"));
      return found ?? expect.fail(`${source} is not in the worker's log`);
    },
    { timeout: 10_000 },
  );
  return (JSON.parse(line) as { embedded?: number }).embedded;
}
