import { DependencyError, errorMessage, type ProjectName } from "@millrace/core";
import type { Job } from "bullmq";
import type { Redis } from "ioredis";
import { Queue } from "./bullmq.ts";
import { catalog, eventsMax, type JobData, jobOptions, type QueueName, queueNames, queuePrefix } from "./catalog.ts";
import { fairPriorities, type Urgency } from "./fair-order.ts";

export interface QueueCounts {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
}

export type DocumentJob = JobData<"documents">;

/** Jobs read or looked up at once. */
const jobsPerPage = 1_000;

/** Puts jobs on the queues and counts them. The connection is the caller's, and stays open after `close`. */
export class Producer {
  readonly #connection: Redis;
  readonly #queues: ReadonlyMap<QueueName, Queue>;

  constructor(connection: Redis) {
    this.#connection = connection;
    this.#queues = new Map(
      queueNames.map((name) => [
        name,
        new Queue(name, { connection, prefix: queuePrefix, defaultJobOptions: jobOptions, streams: { events: { maxLen: eventsMax } } }),
      ]),
    );
    // Errors of the connection are its owner's to report; without a listener they would end the process.
    for (const queue of this.#queues.values()) queue.on("error", () => undefined);
  }

  /** The BullMQ queues, for the dashboard. */
  get queues(): readonly Queue[] {
    return [...this.#queues.values()];
  }

  /**
   * References of documents of one project, in their fair place among those of other projects. All or none are added. A generation that
   * waits or is worked on already is not added again.
   * @throws DependencyError `queue.unavailable`
   */
  async addDocuments(project: ProjectName, jobs: readonly DocumentJob[], urgency: Urgency): Promise<void> {
    if (jobs.length === 0) return;
    await this.#call(async () => {
      const priorities = await fairPriorities(this.#connection, project, urgency, jobs.length);
      await this.#queue("documents").addBulk(
        jobs.map((data, index) => ({ name: "document", data, opts: { jobId: jobIdOf(data), priority: priorities[index] ?? 1 } })),
      );
    });
  }

  /** Has what the garbage of a project refers to collected; at once, and once however often it is asked for meanwhile. */
  async addCollection(project: ProjectName): Promise<void> {
    const opts = { deduplication: { id: project } };
    await this.#call(() => this.#queue("maintenance").add("collect", { version: 1, task: "collect", project }, opts));
  }

  /** Which of these documents have no job that waits, is delayed or is worked on. An ended job under that name is cleared away. */
  async missing(jobs: readonly DocumentJob[]): Promise<DocumentJob[]> {
    const queue = this.#queue("documents");
    const missing: DocumentJob[] = [];
    for (let from = 0; from < jobs.length; from += jobsPerPage) {
      const page = jobs.slice(from, from + jobsPerPage);
      const states = await this.#call(() => Promise.all(page.map((job) => queue.getJobState(jobIdOf(job)))));
      for (const [index, job] of page.entries()) {
        const state = states[index];
        if (state !== "completed" && state !== "failed" && state !== "unknown") continue;
        if (state !== "unknown") await this.#call(() => queue.remove(jobIdOf(job)));
        missing.push(job);
      }
    }
    return missing;
  }

  /** Every document's job that waits or is delayed, page by page. */
  async *openJobs(): AsyncGenerator<DocumentJob[]> {
    const { schema } = catalog.documents;
    const read = (from: number): Promise<Job[]> =>
      this.#call(() => this.#queue("documents").getJobs(["waiting", "prioritized", "delayed"], from, from + jobsPerPage - 1, true));
    for (let from = 0, page = await read(from); page.length > 0; from += jobsPerPage, page = await read(from)) {
      yield page.flatMap((job) => {
        const parsed = schema.safeParse(job.data);
        return parsed.success ? [parsed.data] : [];
      });
    }
  }

  /** Takes a waiting job off the queue. */
  async remove(job: DocumentJob): Promise<void> {
    await this.#call(() => this.#queue("documents").remove(jobIdOf(job)));
  }

  async isPaused(name: QueueName): Promise<boolean> {
    return this.#call(() => this.#queue(name).isPaused());
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

/** One name per generation. BullMQ ignores a job whose name it knows, so an ended one is removed before its name is used again. */
function jobIdOf({ documentId, generation }: DocumentJob): string {
  return `${documentId}.${generation}`;
}
