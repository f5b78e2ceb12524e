import { createRequire } from "node:module";
import type * as bullmq from "bullmq";

/** BullMQ by `require`, as ioredis (`runtime/src/ioredis.ts`): its 180 files would be read twice. */
export const { Queue, UnrecoverableError, Worker } = createRequire(import.meta.url)("bullmq") as typeof bullmq;
export type Queue = bullmq.Queue;
export type Worker = bullmq.Worker;
