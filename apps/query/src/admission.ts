import { limits } from "@millrace/core";
import { Refusal } from "./problem.ts";

export interface AdmissionOptions {
  /** Computations at once. */
  readonly runningMax: number;
  /** Computations that wait for their turn, all projects together. */
  readonly waitingMax: number;
  /** Of those, of one project. */
  readonly waitingPerProjectMax: number;
}

export interface AdmissionCounts {
  /** Refused because all places were taken. */
  overloaded: number;
  /** Refused because their project had its share of the places. */
  projectOverloaded: number;
}

type Start = () => void;

/**
 * Lets in as many computations as can be served, has a bounded number wait, and refuses the rest at once: a wait that nobody will sit through helps
 * nobody. Projects take turns, so that one with many questions does not keep the others waiting. Answers from the cache need no place.
 */
export class Admission {
  readonly counts: AdmissionCounts = { overloaded: 0, projectOverloaded: 0 };
  readonly #options: AdmissionOptions;
  /** In the order of their turns: the first is next, and goes to the end with those of its own that are left. */
  readonly #waiting = new Map<string, Set<Start>>();
  #running = 0;
  #waitingCount = 0;
  /** Moving average, for `Retry-After`. */
  #secondsEach = 0.1;

  constructor(options: AdmissionOptions = { ...limits.searchAdmission }) {
    this.#options = options;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waitingCount;
  }

  /**
   * Runs `work` when it is its turn.
   * @throws Refusal 503 `search.overloaded`, 429 `search.project_overloaded`, with the seconds after which there may be room; the signal's reason
   */
  async run<T>(project: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#enter(project, signal);
    const startedAt = performance.now();
    try {
      return await work();
    } finally {
      this.#secondsEach += ((performance.now() - startedAt) / 1_000 - this.#secondsEach) / 16;
      this.#leave();
    }
  }

  #enter(project: string, signal: AbortSignal): Promise<void> {
    const { runningMax, waitingMax, waitingPerProjectMax } = this.#options;
    signal.throwIfAborted();
    if (this.#running < runningMax) {
      this.#running++;
      return Promise.resolve();
    }
    const ofProject = this.#waiting.get(project) ?? new Set<Start>();
    if (this.#waitingCount >= waitingMax) {
      this.counts.overloaded++;
      throw new Refusal(503, "search.overloaded", `${waitingMax} searches are waiting already`, "Try again later.", this.#retryAfter());
    }
    if (ofProject.size >= waitingPerProjectMax) {
      this.counts.projectOverloaded++;
      const problem = `${waitingPerProjectMax} searches of this project are waiting already`;
      throw new Refusal(429, "search.project_overloaded", problem, "Send fewer at once.", this.#retryAfter());
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#take(project, start);
        reject(signal.reason as Error);
      };
      const start = (): void => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.set(project, ofProject.add(start));
      this.#waitingCount++;
    });
  }

  /** Hands the place on, or gives it up. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running--;
      return;
    }
    const [project, ofProject] = next;
    const [start] = ofProject;
    if (start === undefined) return;
    this.#take(project, start);
    // Its turn is over: the others come first now.
    if (this.#waiting.delete(project)) this.#waiting.set(project, ofProject);
    start();
  }

  #take(project: string, start: Start): void {
    const ofProject = this.#waiting.get(project);
    if (ofProject?.delete(start) !== true) return;
    this.#waitingCount--;
    if (ofProject.size === 0) this.#waiting.delete(project);
  }

  #retryAfter(): number {
    const { runningMax, waitingMax } = this.#options;
    return Math.max(1, Math.ceil((this.#secondsEach * waitingMax) / runningMax));
  }
}
