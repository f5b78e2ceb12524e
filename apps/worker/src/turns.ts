import { setMaxListeners } from "node:events";

interface Waiting {
  /** Of those that go alone the lowest goes first; undefined: goes together with others. */
  readonly rank: number | undefined;
  readonly start: () => void;
}

/** Tasks run side by side, but for those that are to run alone: these come first, and nothing else runs meanwhile. */
export class Turns {
  readonly #waiting = new Set<Waiting>();
  #running = 0;
  #isAlone = false;

  /** @throws what `task` throws; the signal's reason when it gives up before its turn */
  together<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#run(undefined, task, signal);
  }

  /**
   * @param rank of several that wait, the one with the lowest goes first
   * @throws as `together`
   */
  alone<T>(rank: number, task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#run(rank, task, signal);
  }

  async #run<T>(rank: number | undefined, task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#turn(rank, signal);
    try {
      return await task();
    } finally {
      this.#running--;
      this.#isAlone = false;
      this.#next();
    }
  }

  #turn(rank: number | undefined, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const onAbort = (): void => {
        this.#waiting.delete(waiting);
        reject(signal.reason as Error);
        this.#next();
      };
      const start = (): void => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const waiting: Waiting = { rank, start };
      // Many share it; each takes its listener away again.
      setMaxListeners(0, signal);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(waiting);
      this.#next();
    });
  }

  #next(): void {
    if (this.#isAlone) return;
    const alone = [...this.#waiting].filter(({ rank }) => rank !== undefined).sort((a, b) => Number(a.rank) - Number(b.rank));
    const [first] = alone;
    if (first === undefined) {
      for (const each of this.#waiting) this.#start(each);
    } else if (this.#running === 0) {
      this.#isAlone = true;
      this.#start(first);
    }
  }

  #start(waiting: Waiting): void {
    this.#waiting.delete(waiting);
    this.#running++;
    waiting.start();
  }
}
