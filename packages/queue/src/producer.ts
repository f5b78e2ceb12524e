import { DependencyError, errorMessage } from "@millrace/core";
import { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { catalog, type JobData, type QueueName, queueNames, queuePrefix } from "./catalog.ts";

export interface QueueCounts {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
}

/** Puts jobs on the queues and counts them. The connection is the caller's, and stays open after `close`. */
export class Producer {
  readonly #queues: ReadonlyMap<QueueName, Queue>;

  constructor(connection: Redis) {
    this.#queues = new Map(
      queueNames.map((name) => [name, new Queue(name, { connection, prefix: queuePrefix, defaultJobOptions: catalog[name].options })]),
    );
    // Errors of the connection are its owner's to report; without a listener they would end the process.
    for (const queue of this.#queues.values()) queue.on("error", () => undefined);
  }

  /** The BullMQ queues, for the dashboard. */
  get queues(): readonly Queue[] {
    return [...this.#queues.values()];
  }

  /** All or none are added. @throws DependencyError `queue.unavailable` */
  async add<Name extends QueueName>(name: Name, jobs: readonly JobData<Name>[]): Promise<void> {
    if (jobs.length === 0) return;
    await this.#call(() => this.#queue(name).addBulk(jobs.map((data) => ({ name, data }))));
  }

  async counts(name: QueueName): Promise<QueueCounts> {
    const counts = await this.#call(() => this.#queue(name).getJobCounts("waiting", "active", "delayed", "failed", "prioritized"));
    return {
      waiting: (counts["waiting"] ?? 0) + (counts["prioritized"] ?? 0),
      active: counts["active"] ?? 0,
      delayed: counts["delayed"] ?? 0,
      failed: counts["failed"] ?? 0,
    };
  }

  /** How many workers are connected to the queue now. */
  async workerCount(name: QueueName): Promise<number> {
    return (await this.#call(() => this.#queue(name).getWorkers())).length;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
  }

  #queue(name: QueueName): Queue {
    return this.#queues.get(name) as Queue;
  }

  async #call<T>(command: () => Promise<T>): Promise<T> {
    try {
      return await command();
    } catch (error) {
      throw new DependencyError("queue.unavailable", `The queue Redis failed: ${errorMessage(error)}`, {
        cause: error,
        hint: "Is it running? See `millrace status`.",
      });
    }
  }
}
