import { isMillraceError } from "@millrace/core";
import type { Logger } from "@millrace/runtime";
import { type Job, UnrecoverableError, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { catalog, type JobData, type QueueName, queuePrefix, stallSettings } from "./catalog.ts";

export interface JobContext {
  /** 1 for the first try. */
  readonly attempt: number;
  /** Whether a temporary failure now would be the last. */
  readonly lastAttempt: boolean;
  readonly signal: AbortSignal;
}

export interface ConsumerOptions<Name extends QueueName> {
  readonly name: Name;
  /** With `maxRetriesPerRequest: null`: a worker waits for its Redis, however long it is away. */
  readonly connection: Redis;
  readonly concurrency: number;
  readonly logger: Logger;
  readonly handle: (data: JobData<Name>, context: JobContext) => Promise<void>;
}

/**
 * One of the two places where errors are mapped to the outside: a retryable one is thrown on, so that BullMQ tries again with backoff; any other
 * becomes UnrecoverableError and ends the job.
 */
export class Consumer<Name extends QueueName> {
  readonly #worker: Worker;
  readonly #aborted = new AbortController();

  constructor({ name, connection, concurrency, logger, handle }: ConsumerOptions<Name>) {
    const { schema, options } = catalog[name];
    const process = async (job: Job): Promise<void> => {
      const parsed = schema.safeParse(job.data);
      if (!parsed.success) throw new UnrecoverableError(`not a ${name} job: ${parsed.error.message}`);
      const attempt = job.attemptsMade + 1;
      try {
        await handle(parsed.data as JobData<Name>, { attempt, lastAttempt: attempt >= options.attempts, signal: this.#aborted.signal });
      } catch (error) {
        if (isMillraceError(error) && !error.retryable) throw new UnrecoverableError(`${error.code}: ${error.message}`);
        throw error;
      }
    };
    this.#worker = new Worker(name, process, { connection, prefix: queuePrefix, concurrency, autorun: false, ...stallSettings });
    this.#worker.on("error", (error) => logger.warn({ err: error, queue: name }, "queue.error"));
    this.#worker.on("failed", (job, error) =>
      logger.warn({ queue: name, job: job?.data as unknown, attempt: job?.attemptsMade, reason: error.message }, "job.failed"),
    );
    this.#worker.on("stalled", (jobId) => logger.warn({ queue: name, jobId }, "job.stalled"));
  }

  start(): void {
    void this.#worker.run();
  }

  /**
   * Takes no more jobs and waits `drainMs` for those under way; then aborts them, which hands them back to be tried again.
   */
  async close(drainMs: number): Promise<void> {
    const timer = setTimeout(() => this.#aborted.abort(new Error("the worker is stopping")), drainMs);
    await this.#worker.close();
    clearTimeout(timer);
  }
}
