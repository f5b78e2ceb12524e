/**
 * The real worker around an embedder that takes its time but no processor, so that thousands of documents can be put through it, and with a wish to die:
 * CHAOS_KILL_AT=<stage> ends the process by SIGKILL at the second time that a document enters the stage; "mid-embed" in the middle of an
 * embedding, "in-shutdown" at a SIGTERM. CHAOS_PARSE_INLINE parses in this process, without the pool. CHAOS_BLOCK_MS keeps the event loop busy in each
 * embedding, as inference on it would; a text with "poison" in it ends the process whenever it is embedded; CHAOS_MS_PER_TEXT is how long a text takes. Asked for its "delay", it answers with the 99th percentile of that of its event loop.
 */
import { readFile } from "node:fs/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { chunkDocument, HashEmbedder } from "@millrace/core";
import { connectRedis, createLogger, exitOnSignal, Lifecycle, loadConfig } from "@millrace/runtime";
import { parsers } from "../../dist/parse/parser.js";
import { ParserPool } from "../../dist/parse/parser-pool.js";
import { startWorker } from "../../dist/worker.js";

const killAt = process.env.CHAOS_KILL_AT ?? "";
const blockMs = Number(process.env.CHAOS_BLOCK_MS ?? 0);
const msPerText = Number(process.env.CHAOS_MS_PER_TEXT);

const config = loadConfig();
const logger = createLogger("chaos-worker", config.logLevel);
const lifecycle = new Lifecycle(logger);
const hash = new HashEmbedder({ dimension: 64, tokensMax: 256 });
// Not through the proxy: the count is the experiment's, not the system's.
const counters = connectRedis(process.env.CHAOS_COUNTER_URL ?? "", "queue", () => undefined);
let tail = Promise.resolve();

/** One request at a time, as the compute process does it. */
function embed(texts, signal) {
  const done = tail.then(async () => {
    await counters.incrby("chaos:started", texts.length).catch(() => undefined);
    if (killAt === "mid-embed") die();
    if (texts.some((text) => text.includes("poison"))) process.kill(process.pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, msPerText * texts.length));
    for (const until = performance.now() + blockMs; performance.now() < until; );
    const vectors = await hash.embed(texts, signal);
    await counters.incrby("chaos:completed", texts.length).catch(() => undefined);
    return vectors;
  });
  tail = done.then(
    () => undefined,
    () => undefined,
  );
  return done;
}

if (process.env.CHAOS_PARSE_INLINE === "1") {
  ParserPool.prototype.parse = async (path, mediaType, fromPage) => parsers[mediaType](new Uint8Array(await readFile(path)), fromPage);
}

let seen = 0;
function die() {
  if (++seen >= 2) process.kill(process.pid, "SIGKILL");
}
if (killAt === "in-shutdown") process.on("SIGTERM", () => process.kill(process.pid, "SIGKILL"));

exitOnSignal(lifecycle, logger);
await startWorker({
  config,
  logger,
  lifecycle,
  embedder: {
    space: hash.space,
    embed,
    chunk: async (document, options) => chunkDocument(document, hash.tokens, options),
  },
  onStage: (stage) => {
    if (stage === killAt) die();
  },
});
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
process.on("message", (message) => {
  if (message === "delay") process.send({ type: "delay", p99Ms: delay.percentile(99) / 1e6 });
});
process.send({ type: "ready" });
