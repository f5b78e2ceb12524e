import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

it("tells rate, memory by process and the bare loop's rate at every size", { timeout: 180_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-test-"));
  const main = fileURLToPath(new URL("../main.mjs", import.meta.url));
  const args = [main, "growth", "--quick", "--pipeline", "16,32,64", "--synthetic", "200,400"];
  const { status, stderr } = spawnSync(process.execPath, args, { env: { ...process.env, TMPDIR: folder }, encoding: "utf8" });
  expect(status, stderr).toBe(0);
  const results = join(folder, "millrace-bench-results");
  const find = (ending) => readFileSync(join(results, readdirSync(results).find((name) => name.endsWith(ending)) ?? ""), "utf8");
  const { pipeline, beside } = JSON.parse(find("-growth.json"));
  expect(pipeline.map(({ chunks }) => chunks)).toEqual([16, 32, 64]);
  for (const { added, seconds, chunksPerSecond, bareChunksPerSecond, peakBytes, peakBytesByRole } of pipeline) {
    expect(chunksPerSecond).toBeCloseTo(added / seconds);
    expect(bareChunksPerSecond).toBeGreaterThan(1);
    // The command itself may have ended before memory was looked at.
    for (const role of ["worker", "compute", "Redis", "query service", "Milvus Lite"])
      expect(peakBytesByRole[role], role).toBeGreaterThan(1e6);
    expect(peakBytes).toBeGreaterThan(peakBytesByRole.compute);
  }
  expect(beside.p95Ratio).toBeGreaterThan(0);
  const markdown = find("-growth.md");
  expect(markdown).toMatch(/^\| worker .* MB \| .* MB \| .* MB \|$/m);
  expect(markdown).toMatch(/^\| pipeline ÷ bare loop over 32 chunks .*≥ 0\.92/m);
  rmSync(folder, { recursive: true });
});
