/** One repetition of one contestant: its time, its tokens, its memory, its processor time. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startMilvusLite } from "@millrace/testing";
import { Meter } from "../measure/meter.mjs";
import { processTree } from "../measure/proc.mjs";
import { generatedCorpus } from "./corpus.mjs";
import { Installation } from "./installation.mjs";

const tokensOf = (chunks) => chunks.reduce((sum, { ids }) => sum + ids.length, 0);
const documentsOf = (chunks) => new Set(chunks.map(({ source }) => source)).size;

/** What embeds, or embeds and stores, chunks that are there already. @param {string} file below bench/ */
export async function runEmbedder(file, chunks, options, alsoMeasured = []) {
  const child = fork(fileURLToPath(new URL(`../${file}`, import.meta.url)), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const reply = async () => {
    const [message] = await Promise.race([
      once(child, "message"),
      once(child, "exit").then(([code, signal]) => {
        throw new Error(`${file} ended with ${signal ?? `code ${code}`}`);
      }),
    ]);
    return message;
  };
  try {
    child.send({
      ...options,
      texts: chunks.map(({ text }) => text),
      sources: chunks.map(({ source }) => source),
      lengths: chunks.map(({ ids }) => ids.length),
      ids: chunks.map(({ ids }) => ids),
    });
    await reply();
    const meter = new Meter(() => [child.pid, ...alsoMeasured]);
    child.send("go");
    const result = await reply();
    return { ...result, ...meter.stop(), chunks: chunks.length, tokens: tokensOf(chunks), documents: documentsOf(chunks) };
  } finally {
    child.kill("SIGKILL");
  }
}

export async function runLangChain(chunks, options) {
  const milvus = await startMilvusLite();
  try {
    return await runEmbedder("peers/langchain.mjs", chunks, { ...options, address: milvus.address }, [milvus.pid]);
  } finally {
    await milvus.stop();
  }
}

/** Chunks enough that every compute process has had some, and has loaded the model. */
const warmChunks = 128;

/** For so long a stack at rest has used less than a fiftieth of a core: V8 tidies up each service's heap some eight seconds after its start, for a third of a second. */
const restMs = 5_000;
const restMsMax = 60_000;

/**
 * The command, from its start to its end, on a stack that is up, has embedded some documents and is at rest: like the others, without loading the model and without
 * what else belongs to a start.
 */
export async function runPipeline({ folder, chunks }) {
  const installation = await Installation.start();
  try {
    const warm = generatedCorpus(warmChunks, 7);
    await installation.ingest([warm.folder, "--project", "warm"]);
    rmSync(warm.folder, { recursive: true });
    await rest(installation.pid);
    const roots = [installation.pid];
    const meter = new Meter(() => roots);
    const { seconds, firstSearchableSeconds, summary } = await installation.ingest([folder, "--project", "bench"], (pid) =>
      roots.push(pid),
    );
    const measured = meter.stop();
    if (summary.chunks !== chunks.length) throw new Error(`The pipeline made ${summary.chunks} chunks instead of ${chunks.length}`);
    return {
      seconds,
      firstSearchableSeconds,
      ...measured,
      chunks: chunks.length,
      tokens: tokensOf(chunks),
      documents: documentsOf(chunks),
    };
  } finally {
    await installation.close();
  }
}

/** Resolves when the process and those below it have done nearly nothing for a while. */
async function rest(pid) {
  const cpuSeconds = () => processTree([pid]).reduce((sum, process) => sum + process.cpuSeconds, 0);
  const giveUpAt = performance.now() + restMsMax;
  for (let before = cpuSeconds(), after; performance.now() < giveUpAt; before = after) {
    await delay(restMs);
    after = cpuSeconds();
    if (after - before < (0.02 * restMs) / 1_000) return;
  }
  throw new Error(`The stack was not at rest within ${restMsMax / 1_000} s`);
}
