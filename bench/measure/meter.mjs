import { commandOf, processTree, pssBytes, readProcess } from "./proc.mjs";

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
/** Every fourth time, and when there is a new root, all processes of the machine are gone through for new ones; in between only those known are looked at. */
const samplesPerTree = 4;
/**
 * For each process the kernel goes through all of its pages, which takes as long as many documents do: memory is looked at again after so many times what
 * the last look took, so that it slows what is measured by a hundredth of a core at most.
 */
const restPerMemory = 100;

/**
 * Memory and processor time of process trees, sampled while something runs. Peaks are of the sums at one instant, not sums of peaks. A process that
 * ends counts with what it was last seen to have used: at most a quarter of a second is lost, or the whole of one below a root that lived for less than a second.
 */
export class Meter {
  #roots;
  #samples = 0;
  /** When memory is looked at next, by `performance.now()`. */
  #memoryAt = 0;
  #timer;
  /** pids of the last look at all processes, and how many roots there were */
  #pids = [];
  #rootCount = 0;
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
    const roots = this.#roots();
    // A command that was started meanwhile may be over before the next full look.
    const anew = this.#samples++ % samplesPerTree === 0 || roots.length !== this.#rootCount;
    this.#rootCount = roots.length;
    if (anew) this.#pids = processTree(roots).map(({ pid }) => pid);
    const seen = [];
    for (const { pid, startTicks, cpuSeconds } of this.#pids.flatMap((pid) => readProcess(pid) ?? [])) {
      const key = `${pid}:${startTicks}`;
      // What came after the start has spent all of its time within the measurement.
      const known = this.#cpu.get(key) ?? { first: initial ? cpuSeconds : 0 };
      // A forked process shows its parent's command line until it runs its own program, one that has ended none.
      const command = anew || known.role === undefined ? commandOf(pid) : "";
      const role = command === "" && known.role !== undefined ? known.role : roleOf(command);
      this.#cpu.set(key, { ...known, role, last: cpuSeconds });
      seen.push({ pid, role });
    }
    if (performance.now() >= this.#memoryAt) this.#lookAtMemory(seen);
  }

  #lookAtMemory(processes) {
    const startedAt = performance.now();
    const bytes = {};
    for (const { pid, role } of processes) bytes[role] = (bytes[role] ?? 0) + pssBytes(pid);
    const { "Milvus Lite": store = 0, ...ours } = bytes;
    const total = Object.values(ours).reduce((sum, each) => sum + each, 0);
    this.#peak.store = Math.max(this.#peak.store, store);
    for (const [role, each] of Object.entries(bytes)) this.#peak.roles[role] = Math.max(this.#peak.roles[role] ?? 0, each);
    this.#peak.total = Math.max(this.#peak.total, total);
    const now = performance.now();
    this.#memoryAt = now + restPerMemory * (now - startedAt);
  }
}
