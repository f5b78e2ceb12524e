import { DependencyError } from "@millrace/core";

/**
 * Tells a server that is slow from one that is gone without a word (frozen, or behind a network that swallows packets), long before the deadline of a
 * call: while somebody waits, a silent server is asked for a sign of life, and any answer to anybody counts as one. So a search of some
 * seconds on a busy server ends well, and one to a dead server fails within a second.
 */
export class Pulse {
  readonly #ask: () => Promise<unknown>;
  readonly #waiting = new Set<(error: Error) => void>();
  #timer: NodeJS.Timeout | undefined;
  #answeredAt = 0;
  #lookedAt = 0;
  #asking = false;
  #silent = false;

  /** @param ask a request that a living server answers at once */
  constructor(ask: () => Promise<unknown>) {
    this.#ask = ask;
  }

  /** Whether it was silent when somebody waited last. */
  get isSilent(): boolean {
    return this.#silent;
  }

  /**
   * Settles as the call does, unless the server falls silent meanwhile.
   * @throws DependencyError `store.unavailable`
   */
  guard<T>(call: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#waiting.size === 0) this.#start();
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

  #start(): void {
    this.#answeredAt = performance.now();
    this.#lookedAt = this.#answeredAt;
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  #heard(): void {
    this.#answeredAt = performance.now();
    this.#silent = false;
  }

  #look(): void {
    const now = performance.now();
    // It was we who slept: an answer may lie in the socket.
    if (now - this.#lookedAt > lookMs + sleptMs) this.#answeredAt = now;
    this.#lookedAt = now;
    const silentMs = now - this.#answeredAt;
    if (silentMs > silentMsMax) {
      this.#silent = true;
      for (const fail of this.#waiting) fail(silent());
    } else if (silentMs > askAfterMs && !this.#asking) {
      this.#asking = true;
      this.#ask()
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

function silent(): DependencyError {
  return new DependencyError("store.unavailable", `Milvus has not answered anything for ${silentMsMax} ms`, {
    hint: "Is Milvus running at MILVUS_ADDRESS? `millrace status` shows the embedded one.",
  });
}

/** Leaves room for the rest of a search within a second. */
const silentMsMax = 600;
const askAfterMs = 150;
const lookMs = 50;
const sleptMs = 150;
