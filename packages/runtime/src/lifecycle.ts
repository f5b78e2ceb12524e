import type { Logger } from "./logger.ts";

export type Closer = () => Promise<void> | void;

/**
 * Closes what was started, last first. A closer that throws is logged and does not keep the others from running.
 */
export class Lifecycle {
  readonly #closers: { name: string; close: Closer }[] = [];
  readonly #logger: Logger;
  #closing: Promise<void> | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  onClose(name: string, close: Closer): void {
    this.#closers.push({ name, close });
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    for (const { name, close } of this.#closers.reverse()) {
      try {
        await close();
      } catch (error) {
        this.#logger.warn({ err: error, closer: name }, "close.failed");
      }
    }
  }
}

/**
 * SIGTERM and SIGINT close in order and exit 0; a second signal, or `graceMs` without an end, exits at once with 1.
 * Resolves never: the process ends here.
 */
export function exitOnSignal(lifecycle: Lifecycle, logger: Logger, graceMs = 15_000): void {
  let signalled = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (signalled) process.exit(1);
    signalled = true;
    logger.info({ signal }, "process.stopping");
    const timer = setTimeout(() => {
      logger.error({ graceMs }, "process.stop_timed_out");
      process.exit(1);
    }, graceMs);
    timer.unref();
    void lifecycle.close().then(() => process.exit(0));
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  // Started by a supervisor that is gone, killed perhaps: nobody would ever stop this process.
  process.once("disconnect", () => onSignal("SIGTERM"));
}
