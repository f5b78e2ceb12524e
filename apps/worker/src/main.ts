import { ConfigError, errorMessage, isMillraceError } from "@millrace/core";
import { computeProcessesMax, openEmbedder } from "@millrace/embedding";
import { createLogger, exitOnSignal, Lifecycle, loadConfig, lowerSessionPriority } from "@millrace/runtime";
import { startWorker } from "./worker.ts";

const config = loadConfig();
const logger = createLogger("worker", config.logLevel);
const lifecycle = new Lifecycle(logger);

try {
  exitOnSignal(lifecycle, logger);
  if (config.workerNiceness > 0) lowerSessionPriority(config.workerNiceness);
  const embedder = openEmbedder(config, {
    // The workers of this machine share its cores.
    processes: Math.max(1, Math.floor(computeProcessesMax() / config.workers)),
    niceness: config.workerNiceness,
  });
  lifecycle.onClose("embedder", () => embedder.close());
  await startWorker({ config, logger, lifecycle, embedder });
  process.send?.({ type: "ready" });
} catch (error) {
  const known = isMillraceError(error) ? error : undefined;
  logger.fatal({ code: known?.code, reason: errorMessage(error), hint: known?.hint }, "worker.start_failed");
  await lifecycle.close();
  process.exit(error instanceof ConfigError ? 2 : 1);
}
