import { createRequire } from "node:module";
import type { Logger } from "pino";

export type { Logger };

const require = createRequire(import.meta.url);

/** One JSON line per event on stderr, so that stdout stays free for results. Fields carry data; messages are fixed event names. */
export function createLogger(name: string, level: string): Logger {
  // Loaded here: most commands have nothing to log.
  const { destination, pino } = require("pino") as typeof import("pino");
  return pino(
    {
      name,
      level,
      base: { pid: process.pid },
      // Authorization headers and keys must never reach a log line, whoever logs the object.
      redact: { paths: ["authorization", "headers.authorization", "*.authorization", "key", "*.apiKey"], censor: "[redacted]" },
    },
    destination({ dest: 2, sync: true }),
  );
}
