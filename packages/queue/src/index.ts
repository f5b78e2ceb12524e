export { type JobData, type QueueName, queueNames } from "./catalog.ts";
export { Consumer, type ConsumerOptions, RetryLater } from "./consumer.ts";
export type { Urgency } from "./fair-order.ts";
export { type DocumentJob, Producer, type QueueCounts } from "./producer.ts";
