// A writer in a process of its own. Arguments: Redis URL, lock key, lease ms, and "hold" to keep the lane until killed, or
// the number of times to go through it once told to, each time adding to a list what shows whether it was alone.
import { Redis } from "ioredis";
import { RedisWriterLane } from "../dist/index.js";

const [url, key, leaseMs, mode] = process.argv.slice(2);
const redis = new Redis(url);
const lane = new RedisWriterLane({ redis, key, leaseMs: Number(leaseMs) });
const signal = new AbortController().signal;

if (mode === "hold") {
  const held = lane.run(async (token) => {
    process.send?.({ token });
    await new Promise((resolve) => process.once("message", resolve));
  }, signal);
  const outcome = await held.then(
    () => "done",
    (error) => error.code,
  );
  process.send?.({ outcome });
} else {
  process.send?.("ready");
  await new Promise((resolve) => process.once("message", resolve));
  for (let turn = 0; turn < Number(mode); turn++) {
    await lane.run(async (token) => {
      await redis.rpush("log", `in ${token} ${process.pid}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
      await redis.rpush("log", `out ${token} ${process.pid}`);
    }, signal);
  }
  process.send?.({ outcome: "done" });
}
redis.disconnect();
process.disconnect?.();
