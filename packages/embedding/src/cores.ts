import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Cores this process may use: the scheduler's affinity, cut by the CPU quota of its control group where there is one. */
export function availableCores(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(cgroupQuota())));
}

function cgroupQuota(): number {
  try {
    // cgroup v2: "<quota µs | max> <period µs>"
    const [quota = "max", period = "100000"] = readFileSync("/sys/fs/cgroup/cpu.max", "utf8").trim().split(" ");
    return quota === "max" ? Number.POSITIVE_INFINITY : Math.max(1, Number(quota) / Number(period));
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
