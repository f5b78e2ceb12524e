/** What a waiting document costs in the queue Redis: its ledger entry, its job, its place in every index. */
import { rmSync } from "node:fs";
import { Redis } from "ioredis";
import { generatedCorpus } from "../ingest/corpus.mjs";

/** @returns {Promise<{ documents: number, bytesPerDocument: number, enqueuedPerSecond: number }>} */
export async function measureWaiting(installation, documents, seed) {
  const { folder } = generatedCorpus(documents, seed + 1_000, 1);
  const { redisQueueUrl, processes } = installation.state();
  const workers = processes.filter(({ name }) => name.startsWith("worker"));
  const redis = new Redis(redisQueueUrl);
  try {
    const before = await usedBytes(redis);
    // Stopped, not ended: what they had taken stays taken, all else waits.
    for (const { pid } of workers) process.kill(pid, "SIGSTOP");
    const { seconds } = await installation.ingest([folder, "--no-wait", "--project", "waiting"]);
    const bytesPerDocument = ((await usedBytes(redis)) - before) / documents;
    for (const { pid } of workers) process.kill(pid, "SIGCONT");
    await installation.ingest([folder, "--project", "waiting"]);
    return { documents, bytesPerDocument, enqueuedPerSecond: documents / seconds };
  } finally {
    redis.disconnect();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function usedBytes(redis) {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info("memory"))[1]);
}
