import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";

/** A compute process with the model, its tokenizer and Node. */
const bytesPerComputeProcess = 256 * 1024 * 1024;
/** The rest is for parsers, the stores, and whatever else runs here. */
const memoryShare = 0.25;

/** Compute processes that keep the cores busy, one thread each, as far as a quarter of the memory allows. */
export function computeProcessesMax(): number {
  const limit = process.constrainedMemory();
  const bytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return Math.max(1, Math.min(availableCores(), Math.floor((bytes * memoryShare) / bytesPerComputeProcess)));
}

/** Cores this process may use: the scheduler's affinity, cut by the CPU quota of its control groups. At least 1. */
export function availableCores(root = "/"): number {
  return Math.max(1, Math.floor(Math.min(availableParallelism(), quotaV2(root), quotaV1(root))));
}

/** Smallest quota of the process's group and those above it: "<quota µs | max> <period µs>". */
function quotaV2(root: string): number {
  let smallest = Number.POSITIVE_INFINITY;
  const path = /^0::(.*)$/m.exec(readText(join(root, "proc/self/cgroup")))?.[1] ?? "/";
  for (let group = path; ; group = join(group, "..")) {
    const [quota, period] = readText(join(root, "sys/fs/cgroup", group, "cpu.max"))
      .split(" ")
      .map(Number);
    if (quota !== undefined && quota > 0 && period !== undefined) smallest = Math.min(smallest, quota / period);
    if (group === "/") return smallest;
  }
}

function quotaV1(root: string): number {
  const read = (name: string): number => Number(readText(join(root, "sys/fs/cgroup/cpu", name)) || Number.NaN);
  const quota = read("cpu.cfs_quota_us") / read("cpu.cfs_period_us");
  return quota > 0 ? quota : Number.POSITIVE_INFINITY;
}

/** Empty where there is no such file, as outside Linux. */
function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
