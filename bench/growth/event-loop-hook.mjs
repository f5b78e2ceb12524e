/**
 * Loaded into every process of an installation by NODE_OPTIONS: a worker that was told SIGUSR2 leaves the 99th percentile of its event-loop delay since
 * then, in milliseconds, as a file.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";

if (/worker\/dist\/main/.test(process.argv[1] ?? "")) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  process.on("SIGUSR2", () => delay.enable());
  process.on("exit", () => writeFileSync(join(process.env.BENCH_DELAYS, `${process.pid}`), `${delay.percentile(99) / 1e6}`));
}
