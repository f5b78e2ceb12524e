/** Runs tasks side by side, a few at a time. After a failure no more are begun. */
export class InFlight {
  readonly #tasksMax: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(tasksMax: number) {
    this.#tasksMax = tasksMax;
  }

  /** Begins a task when there is room. @throws what an earlier one threw */
  async add(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#tasksMax) await Promise.race(this.#running);
    this.#throwFailure();
    const running: Promise<void> = task()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Waits for all. @throws what the first to fail threw */
  async finish(): Promise<void> {
    await this.settle();
    this.#throwFailure();
  }

  /** Waits until none runs, however they end. */
  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
