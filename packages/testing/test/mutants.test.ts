import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

/** `packages/x/src/y.ts` is built as `packages/x/dist/y.js`. */
const builtFileOf = (file: string): string => file.replace("/src/", "/dist/").replace(/\.ts$/, ".js");

const root = fileURLToPath(new URL("../../../", import.meta.url));
const mutants = JSON.parse(readFileSync(`${root}packages/testing/mutants.json`, "utf8")) as {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly test: string;
  /** It must take effect in processes that the test spawns: `from` is the same in the built file. */
  readonly spawned?: boolean;
}[];

test.each(mutants)("the guard still stands: $name", ({ file, from, to, test: guardedBy, spawned }) => {
  const source = readFileSync(root + file, "utf8");
  expect(source.split(from)).toHaveLength(2);
  expect(to).not.toBe(from);
  expect(existsSync(root + guardedBy)).toBe(true);
  if (spawned === true) expect(readFileSync(root + builtFileOf(file), "utf8").split(from)).toHaveLength(2);
});
