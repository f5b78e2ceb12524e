import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

it("runs every step on the same chunks, and refuses one that computes something else", { timeout: 180_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-test-"));
  const main = fileURLToPath(new URL("../main.mjs", import.meta.url));
  // Without the test data: on generated text.
  const env = { ...process.env, TMPDIR: folder, MILLRACE_TEST_DATA: folder };
  const { status, stderr } = spawnSync(process.execPath, [main, "ablation", "--quick", "--chunks", "16"], { env, encoding: "utf8" });
  expect(status, stderr).toBe(0);
  const results = join(folder, "millrace-bench-results");
  const json = readdirSync(results).find((name) => name.endsWith("-ablation.json")) ?? "";
  const { runs, chunks, tokens } = JSON.parse(readFileSync(join(results, json), "utf8"));
  const all = Object.values(runs).map(([run]) => run);
  expect(all).toHaveLength(8);
  for (const run of all) expect(run).toMatchObject({ chunks, tokens });
  // Sorting and small batches pad less, one text at a time not at all.
  const padding = all.map((run) => run.paddedTokens);
  expect(padding[0]).toBeGreaterThanOrEqual(padding[2]);
  expect(padding.at(-1)).toBe(tokens);
  rmSync(folder, { recursive: true });
});
