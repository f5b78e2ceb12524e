/**
 * `npm run mutants [name …]`: takes each guard of `mutants.json` away in turn and expects its test to fail. A mutant is a piece of a source file (`from`,
 * which occurs once) and what stands there instead (`to`); `vitest.config.ts` puts it there, and `mutate-spawned.mjs` into the built files that spawned
 * processes run.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const mutants = JSON.parse(readFileSync(new URL("./mutants.json", import.meta.url), "utf8"));
const wanted = process.argv.slice(2);
let survivors = 0;
for (const { name, test } of mutants.filter((mutant) => wanted.length === 0 || wanted.some((part) => mutant.name.includes(part)))) {
  const { status, stdout } = spawnSync("npx", ["vitest", "run", "--reporter=json", "--bail=1", test], {
    env: { ...process.env, MILLRACE_MUTANT: name, NODE_OPTIONS: `--import ${new URL("./mutate-spawned.mjs", import.meta.url)}` },
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  // A run that could not begin proves nothing: a test must have failed.
  const report = JSON.parse(stdout.slice(stdout.indexOf('{"'), stdout.lastIndexOf("}") + 1) || "{}");
  const caught = status !== 0 && report.numFailedTests > 0;
  if (!caught) survivors++;
  console.log(`${caught ? "caught  " : "SURVIVED"} ${name}  (${test})`);
}
console.log(`${survivors} survived`);
process.exitCode = survivors === 0 ? 0 : 1;
