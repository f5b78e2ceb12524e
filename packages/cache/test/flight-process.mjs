// A process that takes part in a single flight. Arguments: Redis URL, callers, milliseconds that the computation takes.
// Tells "ready", starts at any message, and tells the values and roles of its callers.
import { Redis } from "ioredis";
import { CacheRedis, SingleFlight } from "../dist/index.js";

const [url, callers, computeMs] = process.argv.slice(2);
const redis = new Redis(url);
const cache = new CacheRedis(redis, { timeoutMs: 5_000 }); // the machine may be busy with other tests
const flights = new SingleFlight({ redis: cache, lockTtlMs: 2_000 });
const flight = {
  read: async () => (await cache.attempt((each) => each.get("result"))) ?? undefined,
  compute: async () => {
    process.send?.("computing");
    await new Promise((resolve) => setTimeout(resolve, Number(computeMs)));
    const value = `computed ${await redis.incr("computations")}`;
    await redis.set("result", value);
    return value;
  },
};
await redis.ping();
process.send?.("ready");
await new Promise((resolve) => process.once("message", resolve));
const values = await Promise.all(
  Array.from({ length: Number(callers) }, () => flights.run("question", flight, AbortSignal.timeout(20_000))),
);
process.send?.({ values: values.map(({ value }) => value), counts: flights.counts });
redis.disconnect();
process.disconnect?.();
