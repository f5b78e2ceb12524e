import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const mutants = JSON.parse(readFileSync(`${root}packages/testing/mutants.json`, "utf8")) as {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly test: string;
}[];

test.each(mutants)("the guard still stands: $name", ({ file, from, to, test: guardedBy }) => {
  const source = readFileSync(root + file, "utf8");
  expect(source.split(from)).toHaveLength(2);
  expect(to).not.toBe(from);
  expect(existsSync(root + guardedBy)).toBe(true);
});
