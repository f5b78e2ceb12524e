import { parseProjectName } from "@millrace/core";
import { z } from "zod";

/**
 * Every queue with the shape of its jobs and how they are kept; producer and worker both read it. A job is a reference of some
 * hundred bytes: the ledger has the facts, the blob store the bytes. Correctness never rests on a job's id, attempts or retention.
 *
 * How often and when a job is tried again is the handler's to decide (`RetryLater`), which asks the ledger: BullMQ's own `attempts` only must not
 * end it first. Crashes of a worker have BullMQ's budget of stalls, set high for the same reason.
 */
const project = z.string().transform(parseProjectName);

export const queuePrefix = "{millrace}";

export const catalog = {
  documents: {
    schema: z.object({
      version: z.literal(1),
      project,
      documentId: z.string().length(32),
      generation: z.string().min(8),
      /** W3C trace context of the request that caused it. */
      traceparent: z.string().optional(),
    }),
    kept: { removeOnComplete: { count: 100 }, removeOnFail: { age: 7 * 86_400, count: 10_000 } },
  },
  maintenance: {
    schema: z.object({ version: z.literal(1), task: z.enum(["collect"]), project }),
    kept: { removeOnComplete: { count: 100 }, removeOnFail: { age: 7 * 86_400, count: 1_000 } },
  },
} as const;

/** Stored with every job that waits, so it is short: what becomes of ended jobs is the worker's to say. */
export const jobOptions = { attempts: 1_000_000, backoff: { type: "asked" } } as const;

/** Events kept in Redis. Nothing of ours reads them: what happened to a document stands in the ledger. */
export const eventsMax = 100;

export type QueueName = keyof typeof catalog;
export const queueNames: readonly QueueName[] = ["documents", "maintenance"];

/** What a worker receives, after validation. */
export type JobData<Name extends QueueName> = z.output<(typeof catalog)[Name]["schema"]>;

/**
 * Milliseconds that a worker may be silent before its jobs are given to another, and how often that is looked for. Their sum is how long a job
 * stands still that was given to a worker which died, or never heard of it since its connection broke.
 */
export const stallSettings = { lockDuration: 6_000, stalledInterval: 2_000, maxStalledCount: 1_000_000 } as const;
