import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

it("compares the pipeline with the bare loop, on the same chunks", { timeout: 180_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-test-"));
  const main = fileURLToPath(new URL("../main.mjs", import.meta.url));
  const args = [main, "ingest", "--quick", "--no-peers", "--chunks", "8", "--repetitions", "1"];
  // Without the test data: on generated text, and no PDF.
  const env = { ...process.env, TMPDIR: folder, MILLRACE_TEST_DATA: folder };
  const { status, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8" });
  expect(status, stderr).toBe(0);
  const results = join(folder, "millrace-bench-results");
  const json = readdirSync(results).find((name) => name.endsWith("-ingest.json")) ?? "";
  const { runs, corpora } = JSON.parse(readFileSync(join(results, json), "utf8"));
  expect(Object.keys(runs)).toEqual(["bare onnxruntime-node", "bare onnxruntime-node, padded batches", "our embedder", "our pipeline"]);
  for (const [run] of Object.values(runs)) {
    expect(run).toMatchObject({ chunks: corpora[0].chunks, tokens: corpora[0].tokens, documents: corpora[0].files });
    expect(run.seconds).toBeGreaterThan(0);
    // A model is in memory.
    expect(run.peakBytes).toBeGreaterThan(50e6);
  }
  const [pipeline] = runs["our pipeline"];
  expect(pipeline.firstSearchableSeconds).toBeLessThanOrEqual(pipeline.seconds);
  expect(pipeline.storePeakBytes).toBeGreaterThan(10e6);
  for (const role of ["ingest command", "worker", "compute", "Redis", "Milvus Lite"])
    expect(Object.keys(pipeline.cpuSeconds)).toContain(role);
  // Everything that it started has cleaned up behind itself.
  expect(readdirSync(folder).filter((name) => name.startsWith("millrace-bench-") && name !== "millrace-bench-results")).toEqual([]);
  rmSync(folder, { recursive: true });
});
