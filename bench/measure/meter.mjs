import { processTree, pssBytes } from "./proc.mjs";

/** What a process is, by its command line. */
const roles = [
  ["Milvus Lite", /milvus-lite|milvus_lite/],
  ["Redis", /redis-server/],
  ["compute", /compute-process/],
  ["parse", /parse-process/],
  ["worker", /worker\/dist\/main/],
  ["query service", /query\/dist\/main/],
  ["dashboard", /dashboard\/dist\/main/],
  ["supervisor", /(millrace|main)\.js up\b/],
  ["ingest command", /millrace\.js ingest/],
];

export function roleOf(command) {
  return roles.find(([, pattern]) => pattern.test(command))?.[0] ?? "process";
}

const intervalMs = 250;
const samplesPerMemory = 4;

/**
 * Memory and processor time of process trees, sampled while something runs. Peaks are of the sums at one instant, not sums of peaks. A process that
 * ends counts with what it was last seen to have used: at most a quarter of a second is lost.
 *
 * Memory is looked at once a second only: for each process the kernel goes through all of its pages, which takes as long as many documents do.
 */
export class Meter {
  #roots;
  #samples = 0;
  #timer;
  /** pid:start → { role, first, last } processor seconds */
  #cpu = new Map();
  #peak = { total: 0, store: 0, roles: {} };

  /** @param {() => readonly number[]} roots process ids whose trees are meant */
  constructor(roots) {
    this.#roots = roots;
    this.#sample(true);
    this.#timer = setInterval(() => this.#sample(false), intervalMs);
  }

  /**
   * @returns {{ peakBytes: number, storePeakBytes: number, peakBytesByRole: Record<string, number>, cpuSeconds: Record<string, number> }}
   * `peakBytes` without the vector store, `storePeakBytes` its own; processor seconds by role since the meter was made
   */
  stop() {
    clearInterval(this.#timer);
    this.#sample(false);
    const cpuSeconds = {};
    for (const { role, first, last } of this.#cpu.values()) cpuSeconds[role] = (cpuSeconds[role] ?? 0) + last - first;
    return { peakBytes: this.#peak.total, storePeakBytes: this.#peak.store, peakBytesByRole: this.#peak.roles, cpuSeconds };
  }

  #sample(initial) {
    const withMemory = this.#samples++ % samplesPerMemory === 0;
    const bytes = {};
    for (const { pid, startTicks, cpuSeconds, command } of processTree(this.#roots())) {
      const key = `${pid}:${startTicks}`;
      // What came after the start has spent all of its time within the measurement.
      const known = this.#cpu.get(key) ?? { first: initial ? cpuSeconds : 0 };
      // A forked process shows its parent's command line until it runs its own program, one that has ended none.
      const role = command === "" && known.role !== undefined ? known.role : roleOf(command);
      if (withMemory) bytes[role] = (bytes[role] ?? 0) + pssBytes(pid);
      this.#cpu.set(key, { ...known, role, last: cpuSeconds });
    }
    const { "Milvus Lite": store = 0, ...ours } = bytes;
    const total = Object.values(ours).reduce((sum, each) => sum + each, 0);
    this.#peak.store = Math.max(this.#peak.store, store);
    for (const [role, each] of Object.entries(bytes)) this.#peak.roles[role] = Math.max(this.#peak.roles[role] ?? 0, each);
    this.#peak.total = Math.max(this.#peak.total, total);
  }
}
