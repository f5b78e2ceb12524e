/**
 * Leaves a server alone that keeps failing: after `failuresMax` failures in a row nobody calls it for a while, then one call tries it, and the outcome
 * of that one decides for all. The while doubles with every try that fails.
 */
const failuresMax = 3;
const openMsMin = 2_000;
const openMsMax = 60_000;

export class CircuitBreaker {
  readonly #now: () => number;
  #failures = 0;
  #openMs = openMsMin;
  #openUntil = 0;
  #probing = false;

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get state(): "closed" | "open" | "half-open" {
    if (this.#failures < failuresMax) return "closed";
    return this.#probing || this.#now() >= this.#openUntil ? "half-open" : "open";
  }

  /** Whether a call may go out; then its outcome must be told. */
  admit(): boolean {
    if (this.#failures < failuresMax) return true;
    if (this.#probing || this.#now() < this.#openUntil) return false;
    this.#probing = true;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#openMs = openMsMin;
    this.#probing = false;
  }

  failed(): void {
    this.#failures++;
    if (this.#failures < failuresMax) return;
    if (this.#probing) this.#openMs = Math.min(this.#openMs * 2, openMsMax);
    this.#probing = false;
    this.#openUntil = this.#now() + this.#openMs;
  }

  /** The call ended for a reason that says nothing about the server. */
  undecided(): void {
    this.#probing = false;
  }
}
