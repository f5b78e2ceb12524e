/** Reading Linux's /proc: which processes belong together, what memory and processor time they hold. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks per second in /proc/<pid>/stat. */
const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** @returns {number} bytes: proportional set size, in which a page shared by n processes counts 1/n in each, so that sums over processes are true */
export function parsePss(smapsRollup) {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(smapsRollup)?.[1] ?? 0) * 1_024;
}

/** @param {string} stat the line of /proc/<pid>/stat; the name in parentheses may hold spaces and parentheses */
export function parseStat(stat) {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    parent: Number(fields[1]),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    startTicks: Number(fields[19]),
  };
}

/** Undefined for a process that is gone. */
export function readProcess(pid) {
  try {
    return { pid, ...parseStat(readFileSync(`/proc/${pid}/stat`, "utf8")) };
  } catch {
    return undefined;
  }
}

/** The command line; empty for a process that is gone or is ending. */
export function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

/** 0 for a process that is gone, or was not started by us. */
export function pssBytes(pid) {
  try {
    return parsePss(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
  } catch {
    return 0;
  }
}

/** @param {readonly number[]} roots @returns the processes below and including them */
export function processTree(roots) {
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (readProcess(Number(name)) ?? []) : []));
  return descendants(all, roots);
}

/** @template {{ pid: number, parent: number }} P @param {readonly P[]} all @param {readonly number[]} roots @returns {P[]} */
export function descendants(all, roots) {
  const children = groupByParent(all);
  const byPid = new Map(all.map((each) => [each.pid, each]));
  const found = new Map();
  const visit = (process) => {
    if (process === undefined || found.has(process.pid)) return;
    found.set(process.pid, process);
    for (const child of children.get(process.pid) ?? []) visit(child);
  };
  for (const root of roots) visit(byPid.get(root));
  return [...found.values()];
}

function groupByParent(all) {
  const groups = new Map();
  for (const each of all) groups.set(each.parent, [...(groups.get(each.parent) ?? []), each]);
  return groups;
}
