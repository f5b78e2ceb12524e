export { type JobData, type QueueName, queueNames } from "./catalog.ts";
export { Consumer, type ConsumerOptions, type JobContext } from "./consumer.ts";
export { Producer, type QueueCounts } from "./producer.ts";
