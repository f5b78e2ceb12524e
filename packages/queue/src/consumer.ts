import { errorMessage, isMillraceError } from "@millrace/core";
import type { Logger } from "@millrace/runtime";
import type { Job } from "bullmq";
import type { Redis } from "ioredis";
import { UnrecoverableError, Worker } from "./bullmq.ts";
import { catalog, type JobData, type QueueName, queuePrefix, stallSettings } from "./catalog.ts";
import type { Producer } from "./producer.ts";

export interface ConsumerOptions<Name extends QueueName> {
  readonly name: Name;
  /** Makes a connection with `maxRetriesPerRequest: null`: a worker waits for its Redis, however long it is away. */
  readonly connect: () => Redis;
  /** Asked, on its own connection, whether there is work that this consumer should be doing. */
  readonly producer: Producer;
  readonly concurrency: number;
  readonly logger: Logger;
  readonly handle: (data: JobData<Name>, signal: AbortSignal) => Promise<void>;
}

/** Thrown by a handler: the job goes back and is tried again after so long. */
export class RetryLater extends Error {
  readonly delayMs: number;

  constructor(delayMs: number, reason: string) {
    super(reason);
    this.name = "RetryLater";
    this.delayMs = delayMs;
  }
}

const retryDelayMs = 5_000;
const watchMs = 1_000;
/** Work waits and none was taken for so long: the BullMQ worker hangs. */
const idleMsMax = 4_000;

/**
 * One of the two places where errors are mapped to the outside: `RetryLater` and retryable errors are thrown on, so that BullMQ tries again;
 * any other becomes UnrecoverableError and ends the job.
 *
 * A BullMQ worker may stop consuming for good after a broken connection, while it says that it runs. So progress is watched: where work waits and
 * none is taken, the worker is replaced by a new one on a new connection.
 */
export class Consumer<Name extends QueueName> {
  readonly #options: ConsumerOptions<Name>;
  readonly #aborted = new AbortController();
  #current: { worker: Worker; connection: Redis } | undefined;
  #active = 0;
  #movedAt = performance.now();
  #watch: NodeJS.Timeout | undefined;
  #checking = false;
  #closing = false;

  constructor(options: ConsumerOptions<Name>) {
    this.#options = options;
  }

  /** How often a worker that had stopped consuming was replaced. */
  replacements = 0;

  start(): void {
    this.#open();
    this.#watch = setInterval(() => void this.#checkProgress(), watchMs);
  }

  /** Takes no more jobs and waits `drainMs` for those under way; then aborts them, which hands them back to be tried again. */
  async close(drainMs: number): Promise<void> {
    this.#closing = true;
    clearInterval(this.#watch);
    const timer = setTimeout(() => this.#aborted.abort(new Error("the worker is stopping")), drainMs);
    await this.#current?.worker.close();
    clearTimeout(timer);
    this.#current?.connection.disconnect();
  }

  #open(): void {
    const { name, connect, concurrency, logger } = this.#options;
    const connection = connect();
    const worker = new Worker(name, (job) => this.#process(job), {
      connection,
      prefix: queuePrefix,
      concurrency,
      autorun: false,
      drainDelay: 2,
      settings: { backoffStrategy: (_attempt, _type, error) => (error instanceof RetryLater ? error.delayMs : retryDelayMs) },
      ...catalog[name].kept,
      ...stallSettings,
    });
    worker.on("error", (error) => logger.warn({ err: error, queue: name }, "queue.error"));
    worker.on("failed", (job, error) => {
      if (!(error instanceof RetryLater)) logger.warn({ queue: name, job: job?.data as unknown, reason: error.message }, "job.failed");
    });
    worker.on("stalled", (jobId) => logger.warn({ queue: name, jobId }, "job.stalled"));
    this.#current = { worker, connection };
    this.#movedAt = performance.now();
    // Ends with an error where the connection is closed under it, as when it is replaced.
    worker.run().catch((error: unknown) => logger.warn({ queue: name, reason: errorMessage(error) }, "queue.worker_ended"));
  }

  async #process(job: Job): Promise<void> {
    const { name, handle } = this.#options;
    const parsed = catalog[name].schema.safeParse(job.data);
    if (!parsed.success) throw new UnrecoverableError(`not a ${name} job: ${parsed.error.message}`);
    this.#active++;
    this.#movedAt = performance.now();
    try {
      await handle(parsed.data as JobData<Name>, this.#aborted.signal);
    } catch (error) {
      if (isMillraceError(error) && !error.retryable) throw new UnrecoverableError(`${error.code}: ${error.message}`);
      throw error;
    } finally {
      this.#active--;
      this.#movedAt = performance.now();
    }
  }

  async #checkProgress(): Promise<void> {
    const { name, producer, logger } = this.#options;
    if (this.#checking) return;
    this.#checking = true;
    try {
      // Redis need not be asked while something is worked on.
      const hasNothingToTake = async () => (await producer.counts(name)).waiting === 0 || (await producer.isPaused(name));
      if (this.#active > 0 || (await hasNothingToTake())) this.#movedAt = performance.now();
    } catch {
      // Redis is away: nobody can consume. The time counts from its return.
      this.#movedAt = performance.now();
    } finally {
      this.#checking = false;
    }
    if (this.#closing || performance.now() - this.#movedAt < idleMsMax) return;
    this.replacements++;
    logger.warn({ queue: name, idleMs: Math.round(performance.now() - this.#movedAt) }, "queue.worker_replaced");
    const hung = this.#current;
    this.#open();
    hung?.worker.close(true).catch(() => undefined); // it hangs; whatever it still does is fenced by the ledger
    hung?.connection.disconnect();
  }
}
