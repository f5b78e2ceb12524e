import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Tests run on the sources; only what a test spawns (children, the command) comes from dist, so integration needs a build. */
const source = fileURLToPath(new URL("./packages/", import.meta.url));
const resolve = {
  alias: [
    { find: /^@millrace\/([a-z-]+)$/, replacement: `${source}$1/src/index.ts` },
    { find: /^@millrace\/([a-z-]+)\/([a-z-]+)$/, replacement: `${source}$1/src/$2.ts` },
  ],
};

/** Takes one guard away, as `npm run mutants` asks for, to see that its test notices. */
const mutants = JSON.parse(readFileSync(`${source}testing/mutants.json`, "utf8")) as {
  name: string;
  file: string;
  from: string;
  to: string;
}[];
const mutant = mutants.find(({ name }) => name === process.env["MILLRACE_MUTANT"]);
const mutation = {
  name: "mutant",
  enforce: "pre" as const,
  transform: (code: string, id: string) =>
    mutant !== undefined && id.endsWith(mutant.file) ? code.replace(mutant.from, () => mutant.to) : undefined,
};

export default defineConfig({
  test: {
    projects: [
      {
        resolve,
        plugins: [mutation],
        test: {
          name: "unit",
          sequence: { groupOrder: 0 },
          include: ["packages/*/src/**/*.test.ts", "apps/*/src/**/*.test.ts", "bench/test/arithmetic.test.mjs"],
          // Against a hang only: one works through thousands of vectors, which takes seconds on a machine that is busy with other things.
          testTimeout: 30_000,
        },
      },
      {
        resolve,
        plugins: [mutation],
        test: {
          name: "integration",
          // After the unit tests: Vitest refuses projects of different maxWorkers in one group.
          sequence: { groupOrder: 1 },
          include: [
            "packages/*/test/**/*.test.ts",
            "apps/*/test/**/*.test.ts",
            "infra/test/**/*.test.ts",
            "examples/test/**/*.test.ts",
            "bench/test/growth-quick.test.mjs",
            "bench/test/ingest-quick.test.mjs",
            "bench/test/ablation-quick.test.mjs",
            "bench/test/answer-cache.test.mjs",
          ],
          // Each file starts servers and processes of its own; more at once than two cores carry only makes all of them slow.
          maxWorkers: 2,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
