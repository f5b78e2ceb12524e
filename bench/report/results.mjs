/** Writes what a benchmark found, and on what. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** @returns what a reader needs to judge the figures: processor, cores, memory, versions, commit, date */
export function conditions() {
  const instructions = new Set(/^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" ") ?? []);
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: cpus()[0]?.model ?? "unknown",
    instructions: ["avx2", "avx512f", "avx512_vnni", "amx_int8"].filter((name) => instructions.has(name)),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    node: process.version,
    commit: git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain") === "" ? "" : "+changes"),
    loadAverage: Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]),
  };
}

/** One line for people: date, processor, cores, memory. */
export function conditionsLine({ date, processor, cores, memoryBytes, instructions, node, commit }) {
  const extensions = instructions.length > 0 ? ` (${instructions.join(", ")})` : "";
  return `${date}, ${cores} cores of ${processor}${extensions}, ${Math.round(memoryBytes / 2 ** 30)} GiB, Node ${node.slice(1)}, commit ${commit}`;
}

/**
 * Records under `bench/results/<date>-<name>.*`.
 * @param {{ name: string, data: object, markdown: string, plots?: Record<string, string> }} result plots: SVG by a suffix of the file name
 * @param {string} folder for quick runs and tests: somewhere else
 * @returns {string[]} paths written
 */
export function record({ name, data, markdown, plots = {} }, folder = join(root, "bench", "results")) {
  mkdirSync(folder, { recursive: true });
  const stem = join(folder, `${new Date().toISOString().slice(0, 10)}-${name}`);
  const files = [
    [`${stem}.json`, `${JSON.stringify(data, undefined, 2)}\n`],
    [`${stem}.md`, `${markdown}\n`],
    ...Object.entries(plots).map(([suffix, svg]) => [`${stem}-${suffix}.svg`, svg]),
  ];
  for (const [path, content] of files) writeFileSync(path, content);
  return files.map(([path]) => path);
}

function git(...args) {
  try {
    return execFileSync("git", ["-C", root, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown";
  }
}
