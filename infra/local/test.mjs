/** `npm test`: sets up what is missing, then runs every test on real servers. The last line counts them. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { orExplain, runtime, setUp } from "./setup.mjs";

await orExplain(() => setUp());
const folder = mkdtempSync(join(tmpdir(), "millrace-test-"));
const report = join(folder, "report.json");
const code = await new Promise((done) => {
  const args = ["vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...process.argv.slice(2)];
  // Not the user's own installation: tests make homes of their own, and share only the tools.
  const { REDIS_QUEUE_URL, REDIS_CACHE_URL, MILVUS_ADDRESS, MILLRACE_HOME, ...env } = process.env;
  spawn("npx", args, { stdio: "inherit", env: { ...env, MILLRACE_RUNTIME: runtime } }).on("close", done);
});
let counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numFailedTestSuites: 0 };
try {
  counts = JSON.parse(readFileSync(report, "utf8"));
} catch {
  console.error("vitest wrote no report");
}
rmSync(folder, { recursive: true, force: true });
const skipped = counts.numPendingTests > 0 ? `, ${counts.numPendingTests} skipped` : "";
process.exitCode = code === 0 && counts.numPassedTests > 0 ? 0 : 1;
console.log(`${counts.numPassedTests} passed, ${counts.numFailedTests} failed${skipped}`);
