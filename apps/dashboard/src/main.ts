import { serve } from "@hono/node-server";
import { ConfigError, errorMessage, isMillraceError } from "@millrace/core";
import { ApiKeys } from "@millrace/ledger";
import { Producer } from "@millrace/queue";
import { connectRedis, createLogger, exitOnSignal, Lifecycle, loadConfig, loadOrCreateAdminKey } from "@millrace/runtime";
import { createDashboard } from "./app.ts";

const config = loadConfig();
const logger = createLogger("dashboard", config.logLevel);
const lifecycle = new Lifecycle(logger);

try {
  await start();
  process.send?.({ type: "ready", port: config.dashboardPort });
} catch (error) {
  const known = isMillraceError(error) ? error : undefined;
  logger.fatal({ code: known?.code, reason: errorMessage(error), hint: known?.hint }, "dashboard.start_failed");
  await lifecycle.close();
  process.exit(error instanceof ConfigError ? 2 : 1);
}

async function start(): Promise<void> {
  exitOnSignal(lifecycle, logger);
  if (config.redisQueueUrl === undefined)
    throw new ConfigError("config.incomplete", "The dashboard needs REDIS_QUEUE_URL", { hint: "`millrace up` starts it with it." });
  const redis = connectRedis(config.redisQueueUrl, "queue", (error) => logger.warn({ reason: error.message }, "redis.error"));
  lifecycle.onClose("redis", () => redis.disconnect());
  const keys = new ApiKeys(redis);
  await keys.register(await loadOrCreateAdminKey(config.home), { scopes: ["read", "ingest"], label: "admin.key" });
  const producer = new Producer(redis);
  lifecycle.onClose("producer", () => producer.close());
  const app = createDashboard({ keys, queues: producer.queues });
  await new Promise<void>((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: config.host, port: config.dashboardPort }, () => resolve());
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken = error.code === "EADDRINUSE";
      const message = taken
        ? `Port ${config.dashboardPort} on ${config.host} is taken`
        : `Cannot listen on ${config.host}:${config.dashboardPort}: ${error.message}`;
      reject(
        new ConfigError(taken ? "dashboard.port_in_use" : "dashboard.cannot_listen", message, {
          hint: "Set MILLRACE_DASHBOARD_PORT to a free one.",
        }),
      );
    });
    lifecycle.onClose(
      "http",
      () =>
        new Promise<void>((closed) => {
          server.close(() => closed());
          if ("closeAllConnections" in server) server.closeAllConnections();
        }),
    );
  });
  logger.info({ host: config.host, port: config.dashboardPort }, "dashboard.started");
}
