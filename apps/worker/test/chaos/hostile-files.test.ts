import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { contentHashOf, isMillraceError, parseProjectName } from "@millrace/core";
import type { DocumentEntry } from "@millrace/ledger";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ParserPool } from "../../src/parse/parser-pool.ts";
import { bombs, type HostileFile, mutated, samples } from "./hostile-files.ts";
import { clean, full, makeTexts, Rig, seeded } from "./rig.ts";

/** Files that are damaged, or made to do damage: each ends in an outcome of its own, and costs the others nothing. */
const seed = 9;
const mutations = full ? 2_000 : 110;
const healthyFiles = full ? 200 : 30;
/** For bombs alone, and for the worker, whose healthy files must pass on a busy machine too. */
const bombTimeoutMs = full ? 20_000 : 1_500;
const parseTimeoutMs = full ? 20_000 : 10_000;
/** Bombs that only time out cost the worker that time. */
const timeoutsMax = full ? Number.POSITIVE_INFINITY : 1;
const parseMemoryBytesMax = (full ? 512 : 256) * 1024 * 1024;
/** To notice, to kill, to start the next child: on a machine that has other things to do. */
const graceMs = 5_000;
const project = parseProjectName("hostile");
const pdfFolder = join(
  process.env["MILLRACE_TEST_DATA"] ?? fileURLToPath(new URL("../../../../../shared/data", import.meta.url)),
  "pdf",
  "pdfminer",
);

let rig: Rig;
const random = seeded(seed);
/** Bombs that end in a failure or in little text: those that the parser lets live by the megabyte would only test the embedder. */
const forWorker: HostileFile[] = [];
const outcomes = new Map<string, number>();
const count = (outcome: string): void => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);

beforeAll(async () => {
  // Some have thousands of chunks, where the machine is fast enough to parse them within the time.
  rig = await Rig.start(0);
});
afterAll(() => rig.close());

test("every bomb ends in a typed outcome within its limit, in the parser pool", { timeout: 400_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bombs-"));
  const pool = new ParserPool({ size: 2, timeoutMs: bombTimeoutMs, memoryBytesMax: parseMemoryBytesMax });
  let longestMs = 0;
  let number = 0;
  let timeouts = 0;
  // All made before any is timed: making some takes seconds, in which this process would not see an answer come.
  const made = [...bombs()];
  const files = made.values();
  const wrong: string[] = [];
  // As many at a time as there are children, so that none waits for another.
  const lane = async (): Promise<void> => {
    for (const file of files) {
      const path = join(folder, String(number++));
      await writeFile(path, file.bytes);
      const startedAt = performance.now();
      const outcome = await pool.parse(path, file.mediaType, 1, new AbortController().signal).catch((error: unknown) => error);
      const ms = performance.now() - startedAt;
      await rm(path);
      longestMs = Math.max(longestMs, ms);
      const code = isMillraceError(outcome) ? outcome.code : outcome instanceof Error ? `untyped ${outcome.message}` : "parsed";
      count(code);
      const right = code === "parsed" || code.startsWith("parse.");
      const expected = file.code === undefined || (typeof file.code === "string" ? code === file.code : file.code.test(code));
      // A slow machine may run out of time before it runs out of anything else.
      if (!right || !(expected || code === "parse.timeout")) wrong.push(`${file.name}: ${code}`);
      if (ms > bombTimeoutMs + graceMs) wrong.push(`${file.name}: ${Math.round(ms)} ms`);
      const little = code !== "parsed" || (outcome as { document: { text: string } }).document.text.length < 20_000;
      if (little && (code !== "parse.timeout" || timeouts++ < timeoutsMax)) forWorker.push(file);
    }
  };
  await Promise.all([lane(), lane()]);
  await pool.close();
  await rm(folder, { recursive: true });
  console.log(`hostile files, bombs alone: n=${number}, ${summary()}, longest ${Math.round(longestMs)} ms of ${bombTimeoutMs} allowed`);
  expect(wrong).toEqual([]);
});

test("the worker lives through all of them, and every healthy file among them becomes live", { timeout: 600_000 }, async () => {
  outcomes.clear();
  const worker = await rig.startWorker(
    {
      MILLRACE_PARSE_TIMEOUT_MS: String(parseTimeoutMs),
      MILLRACE_PARSE_MEMORY_BYTES_MAX: String(parseMemoryBytesMax),
    },
    false,
  );
  const healthySamples = samples();
  const files = [
    ...(await realPdfs()),
    ...forWorker,
    ...Array.from({ length: mutations }, (_, index) =>
      mutated(healthySamples[index % healthySamples.length] as HostileFile, index, random),
    ),
  ];
  const healthy = [...makeTexts(healthyFiles, 200, random, "healthy")];
  const portion = Math.ceil(files.length / 10);
  for (let from = 0; from < files.length; from += portion) {
    await ingestFiles(files.slice(from, from + portion));
    await rig.ingest(new Map(healthy.splice(0, Math.ceil(healthyFiles / 10))));
  }
  // Healthy documents of every other format go the whole way too.
  await ingestFiles(healthySamples);
  await rig.settled(300_000, project);
  await rig.settled(60_000);

  const wrong: string[] = [];
  for (const entry of (await rig.ledger.list({ project, limit: files.length + 100 })).entries) {
    const outcome = entry.state === "failed" || entry.state === "quarantined" ? `${entry.failure?.code}` : entry.state;
    count(outcome);
    if (!isTyped(entry)) wrong.push(`${entry.source}: ${entry.state} ${entry.failure?.code} ${entry.failure?.message}`);
    if (healthySamples.some(({ name }) => name === entry.source) && entry.state !== "live") wrong.push(`${entry.source} is ${entry.state}`);
  }
  console.log(
    `hostile files: n=${files.length}, seed=${seed}, ${summary()}, healthy ${rig.expected.size}, deaths of the worker ${rig.deaths}`,
  );
  expect(wrong).toEqual([]);
  expect(await rig.judge()).toMatchObject(clean);
  expect(rig.deaths).toBe(0);
  expect(worker.exitCode).toBeNull();
  worker.kill("SIGKILL");
  await once(worker, "exit");
});

test("control: parsed in the worker itself, one of them stops all others", { timeout: 120_000 }, async () => {
  // No known file makes the parser hang for ever; this one takes it the better part of a minute.
  const hang = new TextEncoder().encode("![[".repeat(2_500_000));
  await ingestFiles([{ name: "control", mediaType: "text/markdown", bytes: hang }]);
  await rig.startWorker({ CHAOS_PARSE_INLINE: "1", MILLRACE_PARSE_TIMEOUT_MS: "2000" }, false);
  await rig.until(20_000, "the hang", async () => (await rig.ledger.countByState(project)).parsing === 1);
  await rig.ingest(makeTexts(3, 50, random, "after"));
  // What took a moment above does not happen in as long as a healthy worker takes for hundreds.
  await expect(rig.settled(5_000)).rejects.toThrow("waited");
});

function isTyped({ state, failure }: DocumentEntry): boolean {
  return state === "live" || state === "empty" || /^(?:parse|chunk)\./.test(failure?.code ?? "");
}

function summary(): string {
  return [...outcomes].map(([outcome, times]) => `${outcome} ${times}`).join(", ");
}

async function realPdfs(): Promise<HostileFile[]> {
  const names = await readdir(pdfFolder, { recursive: true }).catch(() => [] as string[]);
  if (names.length === 0) console.log(`hostile files: no PDFs in ${pdfFolder}, set MILLRACE_TEST_DATA; going on without them`);
  return Promise.all(
    names
      .filter((name) => name.endsWith(".pdf"))
      .map(async (name) => ({ name, mediaType: "application/pdf" as const, bytes: await readFile(join(pdfFolder, name)) })),
  );
}

async function ingestFiles(files: readonly HostileFile[]): Promise<void> {
  const jobs = [];
  for (const { name: source, mediaType, bytes } of files) {
    const contentHash = contentHashOf(bytes);
    await rig.blobs.put(contentHash, bytes, new AbortController().signal);
    const request = { project, source, contentHash, fingerprint: "chaos", mediaType, bytes: bytes.length, origin: "", ingestId: "chaos" };
    const { documentId, generation } = await rig.ledger.plan(request);
    jobs.push({ version: 1 as const, project, documentId, generation });
  }
  await rig.producer.addDocuments(project, jobs, "bulk");
}
