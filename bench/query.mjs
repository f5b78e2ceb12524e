/** How fast searches are, beside what they are made of; everything in one run, so that ratios hold on any machine. */
import { fork } from "node:child_process";
import { once as event } from "node:events";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MilvusClient } from "@zilliz/milvus2-sdk-node";
import { Redis } from "ioredis";
import { once, requestOf } from "./load/http-load.mjs";
import { project, startSearchStack } from "./load/search-stack.mjs";
import { readProcess } from "./measure/proc.mjs";
import { median, percentiles, randomOf } from "./measure/statistics.mjs";
import { queryMarkdown, readmeTable } from "./query/report.mjs";
import { updateReadme } from "./report/readme.mjs";
import { conditions, record } from "./report/results.mjs";

export const summary = "cached and cold searches beside their parts, under open-loop load and overload";

const seed = 11;
const topK = 10;

export async function run(args) {
  const { values } = parseArgs({
    args,
    options: { quick: { type: "boolean" }, rows: { type: "string" }, port: { type: "string" }, only: { type: "string" } },
  });
  const quick = values.quick === true;
  const rows = Number(values.rows ?? (quick ? 2_000 : 50_000));
  const stack = await startSearchStack({ rows, seed, port: Number(values.port ?? 7_391) });
  const load = await startLoad();
  const wanted = (name) => values.only === undefined || values.only.split(",").includes(name);
  const found = { machine: conditions(), rows, seed, topK };
  try {
    if (wanted("cached")) found.cached = await cachedThroughput(stack, load, quick);
    if (wanted("latency")) found.latency = await cachedLatency(stack, load, quick);
    if (wanted("cold")) found.cold = await coldLatency(stack, quick);
    if (wanted("batching")) found.batching = await coldThroughput(stack, load, quick);
    if (wanted("overload")) found.overload = await overload(stack, load, quick, found.batching?.servicePerSecond ?? 100);
  } finally {
    load.close();
    await stack.close();
  }
  const report = queryMarkdown(found);
  console.log(report);
  const written = record({ name: "query", data: found, markdown: report }, quick ? tmpdir() : undefined);
  if (!quick && values.only === undefined) updateReadme("query", readmeTable(found));
  console.log(`\n${written.join("\n")}`);
}

let questions = 0;
/** A question that nobody asked before. */
const question = () => `how does the pump ${++questions} of line ${questions * 7} keep its pressure when it is cold outside`;
const searchFor = (stack, query, mode = "dense") =>
  requestOf({ path: "/v1/search", headers: stack.headers, body: JSON.stringify({ query, top_k: topK, mode }) });
const encoded = (requests) => requests.map((each) => each.toString("base64"));

async function startLoad() {
  const child = fork(fileURLToPath(new URL("./load/load-process.mjs", import.meta.url)));
  const ended = event(child, "exit").then(([code]) => {
    throw new Error(`The load generator ended with ${code}`);
  });
  ended.catch(() => undefined); // told to who waits for a load
  return {
    async run(message) {
      child.send(message);
      const [reply] = await Promise.race([event(child, "message"), ended]);
      return reply;
    },
    close: () => child.kill(),
  };
}

/** The body of a search that is in the cache; a reply that says no is nothing to compare with. */
async function cachedBody(stack, request) {
  let reply = await once(stack.port, request);
  for (let tries = 0; tries < 20 && !reply.body.includes('"cache":"hit"'); tries++) reply = await once(stack.port, request);
  if (reply.status !== 200) throw new Error(`A search was answered with ${reply.status}: ${reply.body}`);
  return reply.body;
}

/** A server that does nothing but read `body` from the same Redis and send it. */
async function startBare(stack, body) {
  const redis = new Redis(stack.cacheUrl);
  await redis.set("bench:body", body);
  redis.disconnect();
  const bare = fork(fileURLToPath(new URL("./load/bare-server.mjs", import.meta.url)), [stack.cacheUrl, "bench:body"]);
  const [{ port }] = await event(bare, "message");
  return { pid: bare.pid, port, close: () => bare.kill() };
}

/** What both do in `rounds` rounds, in turns, so that whatever the machine does meanwhile happens to both; who is first changes. */
async function inTurns(stack, bare, rounds, measure) {
  const found = { service: [], bare: [] };
  for (let round = 0; round < rounds; round++) {
    const turns = [() => measure(stack).then((one) => found.service.push(one)), () => measure(bare).then((one) => found.bare.push(one))];
    for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn();
  }
  return found;
}

/** Replies per second at most. */
async function cachedThroughput(stack, load, quick) {
  const request = searchFor(stack, "the question that everybody asks");
  const body = await cachedBody(stack, request);
  const bare = await startBare(stack, body);
  const seconds = Number(process.env.BENCH_SECONDS ?? (quick ? 1 : 3));
  const closed = async ({ pid, port }) => {
    const before = readProcess(pid).cpuSeconds;
    const { perSecond, latenciesMs } = await load.run({ kind: "closed", port, requests: encoded([request]), connections: 32, seconds });
    return { perSecond, cpuMicroseconds: ((readProcess(pid).cpuSeconds - before) / latenciesMs.length) * 1e6 };
  };
  await inTurns(stack, bare, 1, closed); // both warm
  const found = await inTurns(stack, bare, quick ? 3 : 7, closed);
  bare.close();
  const ratios = found.service.map(({ perSecond }, round) => perSecond / found.bare[round].perSecond);
  const [perSecond, cpu] = ["perSecond", "cpuMicroseconds"].map((name) => (all) => median(all.map((each) => each[name])));
  return {
    ...{ bodyBytes: body.byteLength, servicePerSecond: perSecond(found.service), barePerSecond: perSecond(found.bare) },
    ...{ ratio: median(ratios), ratios },
    // Holds also where other programs take the processor away: what a request costs is what a rate at full load comes from.
    ...{ serviceCpuMicroseconds: cpu(found.service), bareCpuMicroseconds: cpu(found.bare) },
    cpuRatio: cpu(found.bare) / cpu(found.service),
  };
}

/** The bare server under the same load says what of a latency is the machine's and the generator's. */
async function cachedLatency(stack, load, quick) {
  const requests = encoded(Array.from({ length: 50 }, (_, index) => searchFor(stack, `cached question ${index}`)));
  let body;
  for (const each of requests) body = await cachedBody(stack, Buffer.from(each, "base64"));
  const bare = await startBare(stack, body);
  const open = ({ port }, seconds) => load.run({ kind: "open", port, requests, connections: 64, perSecond: 2_000, seed, seconds });
  await inTurns(stack, bare, 1, (server) => open(server, 2)); // both warm
  await stack.metrics(); // begins the event loop's figures anew
  const found = await inTurns(stack, bare, quick ? 2 : 4, (server) => open(server, quick ? 2 : 5));
  const eventLoopP99Ms = await eventLoopDelay(stack);
  bare.close();
  const latencies = (all) => percentiles(all.flatMap(({ latenciesMs }) => latenciesMs[200] ?? []));
  return {
    ...{ perSecond: 2_000, ...latencies(found.service), bare: latencies(found.bare), eventLoopP99Ms },
    other: found.service.reduce((sum, { latenciesMs }) => sum + othersThan200(latenciesMs), 0),
    sentLate: percentiles([...found.service, ...found.bare].flatMap(({ lateMs }) => lateMs)),
  };
}

/** One new question at a time, through the service, and in turn the parts of it by hand. */
async function coldLatency(stack, quick) {
  const client = new MilvusClient({ address: stack.milvusAddress, logLevel: "error", telemetry: { enabled: false } });
  await client.connectPromise;
  const signal = new AbortController().signal;
  const fields = [
    "chunk_id",
    "project",
    "document_id",
    "generation",
    "source",
    "media_type",
    "title",
    "ordinal",
    "text",
    "span_start",
    "span_end",
  ];
  // By product, as the service asks: vectors of length 1 have their cosine there.
  const raw = (vector, metric = "IP") =>
    client.search({
      ...{ collection_name: stack.collection, anns_field: "dense", metric_type: metric, data: Array.from(vector), limit: topK },
      ...{ filter: `project == "${project}"`, output_fields: [...fields, "page", "headings", "tokens", "metadata"] },
    });
  const [service, parts, ratios] = [[], [], []];
  for (let turn = -3; turn < (quick ? 20 : 60); turn++) {
    const once_ = async () => timed(() => once(stack.port, searchFor(stack, question())));
    const byHand = async () =>
      timed(async () => {
        const [vector] = await stack.embedder.embed([question()], signal);
        await raw(vector);
      });
    const [first, second] = turn % 2 === 0 ? [await once_(), await byHand()] : [await byHand(), await once_()].reverse();
    if (turn < 0) continue; // warm-up
    service.push(first);
    parts.push(second);
    ratios.push(first / second);
  }
  // Together, without any sharing: what 16 clients of the raw store get, by cosine as is usual, and by product.
  const vectors = await stack.embedder.embed(Array.from({ length: 16 }, question), signal);
  const together = { COSINE: [], IP: [] };
  for (let turn = 0; turn < (quick ? 2 : 5); turn++) {
    for (const [metric, all] of Object.entries(together))
      all.push(await timed(() => Promise.all(vectors.map((each) => raw(each, metric)))));
  }
  await client.closeConnection();
  return {
    serviceMs: percentiles(service),
    partsMs: percentiles(parts),
    ratio: median(service) / median(parts),
    rawTogetherPerSecond: (16 / median(together.COSINE)) * 1_000,
    rawTogetherByProductPerSecond: (16 / median(together.IP)) * 1_000,
  };
}

/** New questions only, from 16 clients at once. */
async function coldThroughput(stack, load, quick) {
  const ask = (count, mode) => {
    const requests = encoded(Array.from({ length: quick ? 400 : count }, () => searchFor(stack, question(), mode)));
    return load.run({ kind: "closed", port: stack.port, requests, connections: 16, seconds: quick ? 2 : 10 });
  };
  await stack.metrics();
  const before = await batchFigures(stack);
  const { perSecond, latenciesMs, statuses } = await ask(6_000, "dense");
  const after = await batchFigures(stack);
  const hybrid = await ask(2_000, "hybrid");
  return {
    ...{ hybridPerSecond: hybrid.perSecond, hybrid: percentiles(hybrid.latenciesMs) },
    ...{ clients: 16, servicePerSecond: perSecond, ...percentiles(latenciesMs), statuses },
    meanBatch: (after.queries - before.queries) / (after.batches - before.batches),
    eventLoopP99Ms: after.eventLoopP99Ms,
  };
}

/** Five times as many new questions as can be answered. */
async function overload(stack, load, quick, capacity) {
  const perSecond = Math.round(capacity * 5);
  const seconds = quick ? 3 : 10;
  const random = randomOf(seed);
  const requests = encoded(
    Array.from({ length: Math.ceil(perSecond * seconds * 1.2) }, () => searchFor(stack, `${question()} ${random()}`)),
  );
  await stack.metrics();
  const { latenciesMs, withRetryAfter } = await load.run({
    kind: "open",
    port: stack.port,
    requests,
    connections: 1_024,
    seconds,
    perSecond,
    seed,
  });
  const eventLoopP99Ms = await eventLoopDelay(stack);
  const refused = Object.entries(latenciesMs).flatMap(([status, each]) => (status === "200" ? [] : each));
  const afterwards = await timed(() => once(stack.port, searchFor(stack, question())));
  return {
    ...{ perSecond, seconds, answeredPerSecond: (latenciesMs[200]?.length ?? 0) / seconds, answered: percentiles(latenciesMs[200] ?? []) },
    ...{
      refused: refused.length,
      withRetryAfter,
      refusals: percentiles(refused),
      statuses: countOf(latenciesMs),
      afterwardsMs: afterwards,
      eventLoopP99Ms,
    },
  };
}

async function timed(work) {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

const countOf = (byStatus) => Object.fromEntries(Object.entries(byStatus).map(([status, each]) => [status, each.length]));
const othersThan200 = (byStatus) => Object.entries(byStatus).reduce((sum, [status, each]) => sum + (status === "200" ? 0 : each.length), 0);
const metricOf = (text, name) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);

/** As Node measures it: the time between two ticks of a timer of 10 ms, which is therefore part of it. */
async function eventLoopDelay(stack) {
  return metricOf(await stack.metrics(), "nodejs_eventloop_lag_p99_seconds") * 1_000;
}

async function batchFigures(stack) {
  const text = await stack.metrics();
  const of = (name) => Number(new RegExp(`^${name}\\{stage="store"\\} (\\S+)$`, "m").exec(text)?.[1] ?? 0);
  return {
    queries: of("millrace_batched_queries_total"),
    batches: of("millrace_batches_total"),
    eventLoopP99Ms: metricOf(text, "nodejs_eventloop_lag_p99_seconds") * 1_000,
  };
}
