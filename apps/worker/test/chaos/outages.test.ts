import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { clean, full, makeTexts, Rig, seeded } from "./rig.ts";

/** Redis and Milvus die, hang and lie while documents are processed; work goes on by itself when they are back. */
const seed = 11;
const documents = full ? 600 : 60;
const outagesMs = full ? [3_000, 10_000, 30_000] : [2_000];
/** From the return of a server to the next document that settles. */
const resumeMsMax = 10_000;

let rig: Rig;
let random: () => number;

beforeEach(async () => {
  random = seeded(seed);
  rig = await Rig.start();
});
afterEach(() => rig.close());

async function begin(): Promise<void> {
  await Promise.all([rig.startWorker(), rig.startWorker()]);
  await rig.ingest(makeTexts(documents, 200, random));
  await rig.until(30_000, "the work to begin", async () => (await rig.settledCount()) >= documents / 10);
}

/** Waits until another document settles after the outage, says how long that took, and lets the rest finish. */
async function resumes(what: string, ...also: string[]): Promise<void> {
  const before = await rig.settledCount();
  const tookMs = await rig.until(60_000, `work to go on after ${what}`, async () => {
    const settled = await rig.settledCount();
    return settled > before || settled === rig.expected.size;
  });
  console.log(`${what}: went on after ${Math.round(tookMs)} ms ${also.join(" ")}`);
  expect(tookMs).toBeLessThan(resumeMsMax);
}

async function endsWell(): Promise<void> {
  await rig.settled(full ? 600_000 : 120_000);
  expect(await rig.judge({ search: false })).toMatchObject(clean);
  expect(await rig.ledger.countByState(rig.project)).toMatchObject({ live: documents, failed: 0, quarantined: 0 });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describe.each(outagesMs)("Redis, for %i ms", (ms) => {
  test("killed and started again", { timeout: 900_000 }, async () => {
    await begin();
    await rig.redis.kill();
    await pause(ms);
    await rig.redis.restart();
    await resumes(`Redis was dead for ${ms} ms`);
    await endsWell();
  });

  test("frozen", { timeout: 900_000 }, async () => {
    await begin();
    process.kill(rig.redis.pid, "SIGSTOP");
    await pause(ms);
    process.kill(rig.redis.pid, "SIGCONT");
    await resumes(`Redis was frozen for ${ms} ms`);
    await endsWell();
  });

  test("behind a black hole", { timeout: 900_000 }, async () => {
    await begin();
    rig.redisProxy.mode = "black-hole";
    await pause(ms);
    rig.redisProxy.mode = "pass";
    await resumes(`Redis was behind a black hole for ${ms} ms`);
    await endsWell();
  });
});

test("Redis, with its connections reset again and again", { timeout: 900_000 }, async () => {
  await begin();
  for (let index = 0; index < (full ? 25 : 5); index++) {
    await pause(200 + random() * 400);
    rig.redisProxy.reset();
  }
  await resumes("Redis connections were reset");
  await endsWell();
});

describe.each(outagesMs)("Milvus Lite, for %i ms", (ms) => {
  test("killed and started again", { timeout: 900_000 }, async () => {
    await begin();
    await rig.milvus.kill();
    await pause(ms);
    await rig.milvus.restart();
    await resumes(`Milvus was dead for ${ms} ms`);
    await endsWell();
  });

  test("frozen", { timeout: 900_000 }, async () => {
    await begin();
    process.kill(rig.milvus.pid, "SIGSTOP");
    await pause(ms);
    process.kill(rig.milvus.pid, "SIGCONT");
    await resumes(`Milvus was frozen for ${ms} ms`);
    await endsWell();
  });
});

test("Milvus Lite, which takes what is written and loses its replies", { timeout: 900_000 }, async () => {
  await begin();
  rig.milvusProxy.mode = "swallow-replies";
  await pause(outagesMs[0] ?? 0);
  rig.milvusProxy.mode = "pass";
  // What was sent on the connections of that time is never answered; they are cut, as a network that mends itself does.
  rig.milvusProxy.reset();
  await resumes("replies of Milvus were swallowed");
  await endsWell();
});

test("a worker that is asked to stop hands back what it holds within 15 s, and another finishes it", { timeout: 120_000 }, async () => {
  const first = await rig.startWorker({}, false);
  await rig.ingest(makeTexts(documents, 400, random));
  await rig.until(30_000, "the work to begin", async () => (await rig.settledCount()) >= 3);
  const stoppedAt = performance.now();
  const exited = new Promise<number | null>((resolve) => first.once("exit", (code) => resolve(code)));
  first.kill("SIGTERM");
  expect(await exited).toBe(0);
  expect(performance.now() - stoppedAt).toBeLessThan(15_000);
  await rig.startWorker();
  await resumes("a worker was stopped");
  await endsWell();
  const { completed } = await rig.embedded();
  expect(completed).toBeLessThan(rig.expectedChunks * 1.05);
});

test("two copies of a document's job do no harm: a worker that was frozen past its lease comes back", { timeout: 120_000 }, async () => {
  const frozen = await rig.startWorker({}, false);
  await rig.ingest(makeTexts(20, 400, random));
  await rig.until(30_000, "the work to begin", async () => (await rig.settledCount()) >= 2);
  if (frozen.pid === undefined) throw new Error("the worker has no pid");
  process.kill(frozen.pid, "SIGSTOP");
  await rig.startWorker();
  await rig.settled(90_000);
  process.kill(frozen.pid, "SIGCONT");
  const exited = new Promise<void>((resolve) => frozen.once("exit", () => resolve()));
  await rig.ingest(makeTexts(20, 400, random, "later"));
  await rig.settled(60_000);
  frozen.kill("SIGTERM");
  await exited;
  expect(await rig.judge({ search: false })).toMatchObject(clean);
});
