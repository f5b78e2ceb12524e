import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { availableCores } from "./cores.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "millrace-cores-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), `${text}\n`);
}

it("gives every core where no control group says otherwise", () => {
  expect(availableCores(root)).toBe(availableParallelism());
  write("sys/fs/cgroup/cpu.max", "max 100000");
  expect(availableCores(root)).toBe(availableParallelism());
});

it("keeps to the smallest quota of the groups it is in", () => {
  write("proc/self/cgroup", "0::/outer/inner");
  write("sys/fs/cgroup/outer/inner/cpu.max", "max 100000");
  write("sys/fs/cgroup/outer/cpu.max", "150000 100000");
  expect(availableCores(root)).toBe(1);
});

it("keeps to a quota of version 1", () => {
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  expect(availableCores(root)).toBe(1);
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1");
  expect(availableCores(root)).toBe(availableParallelism());
});
