import { DependencyError } from "@millrace/core";

/**
 * Tells a server that is slow from one that is gone without a word (frozen, or behind a network that swallows packets), long before the deadline of a
 * call: while somebody waits, a silent server is asked for a sign of life, and any answer to anybody counts as one. How long it may be silent follows from how
 * long it has been lately: within a second a dead server is known where answers are quick, while one that does a single thing at a time, over many vectors or
 * on a machine that is busy with others, is given what it takes.
 */
export class Pulse {
  readonly #waiting = new Set<(error: Error) => void>();
  #timer: NodeJS.Timeout | undefined;
  #answeredAt = 0;
  #lookedAt = 0;
  #asking = false;
  #silent = false;
  /** The longest silence after which it did answer, in milliseconds, and when that was. */
  #slowest = { ms: 0, at: 0 };

  /** Whether it was silent when somebody waited last. */
  get isSilent(): boolean {
    return this.#silent;
  }

  /** To be told when a new connection was answered: what was taken for death may have been slowness. */
  connected(): void {
    if (this.#silent) this.#heard();
  }

  /**
   * Settles as the call does, unless the server falls silent meanwhile.
   * @param ask a request that a living server answers at once
   * @throws DependencyError `store.unavailable`
   */
  guard<T>(call: Promise<T>, ask: () => Promise<unknown>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#waiting.size === 0) this.#start(ask);
      this.#waiting.add(reject);
      call
        .then((value) => {
          this.#heard();
          resolve(value);
        }, reject)
        .finally(() => {
          this.#waiting.delete(reject);
          if (this.#waiting.size === 0) clearInterval(this.#timer);
        });
    });
  }

  #start(ask: () => Promise<unknown>): void {
    this.#answeredAt = performance.now();
    this.#lookedAt = this.#answeredAt;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#look(ask), lookMs);
  }

  #heard(): void {
    const now = performance.now();
    const ms = now - this.#answeredAt;
    if (ms <= slowMsMax && ms > this.#slowestMs(now)) this.#slowest = { ms, at: now };
    this.#answeredAt = now;
    this.#silent = false;
  }

  #slowestMs(now: number): number {
    return this.#slowest.ms * 0.5 ** ((now - this.#slowest.at) / slowestHalvesMs);
  }

  #look(ask: () => Promise<unknown>): void {
    const now = performance.now();
    // It was we who slept: an answer may lie in the socket.
    if (now - this.#lookedAt > lookMs + sleptMs) this.#answeredAt = now;
    this.#lookedAt = now;
    const silentMs = now - this.#answeredAt;
    if (silentMs > Math.max(silentMsMin, patience * this.#slowestMs(now))) {
      this.#silent = true;
      for (const fail of this.#waiting) fail(silent(silentMs));
    } else if (silentMs > askAfterMs && !this.#asking) {
      this.#asking = true;
      ask()
        .then(
          () => this.#heard(),
          () => undefined, // the call itself tells what is wrong
        )
        .finally(() => {
          this.#asking = false;
        });
    }
  }
}

function silent(silentMs: number): DependencyError {
  return new DependencyError("store.unavailable", `Milvus has not answered anything for ${Math.round(silentMs)} ms`, {
    hint: "Is Milvus running at MILVUS_ADDRESS? `millrace status` shows the embedded one.",
  });
}

/** Leaves room for the rest of a search within a second. */
const silentMsMin = 600;
/** So many times the longest silence lately is taken for death. */
const patience = 3;
/** What was silent for longer was away: the outage that ended teaches nothing about slowness. */
const slowMsMax = 2_500;
/** What was slow once is forgotten: half of it in this time. */
const slowestHalvesMs = 30_000;
const askAfterMs = 150;
const lookMs = 50;
const sleptMs = 150;
