import { defineConfig } from "rolldown";

/**
 * The command becomes a handful of files: to find and read the 580 that it is made of took Node longer than anything else between a command and its first job.
 * Names and lines stay as they are, so that stack traces can be read.
 */
export default defineConfig({
  // `metrics` is for the benches.
  input: { main: "src/main.ts", metrics: "src/evaluation/metrics.ts" },
  platform: "node",
  resolve: {
    mainFields: ["module", "main"],
    alias: {
      // By `require` where nothing is bundled (`runtime/src/ioredis.ts`), which a bundler does not follow.
      "./ioredis.js": "ioredis",
      "./bullmq.js": "bullmq",
      // What BullMQ takes for jobs by the calendar, of which we have none.
      "cron-parser": false,
    },
  },
  // BullMQ does not say so, but what of it is not referred to does nothing: PostgreSQL, other clients of Redis.
  treeshake: { moduleSideEffects: [{ test: /node_modules.bullmq/, sideEffects: false }] },
  output: { dir: "dist", cleanDir: true, sourcemap: true, comments: false },
});
