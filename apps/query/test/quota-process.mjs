import { connectRedis } from "@millrace/runtime";
import { RedisQuotaStore } from "../dist/quota/redis-quota-store.js";

/** Takes what it can get of quotas, as one query process of several; its parent says when and of what. */
const redis = connectRedis(process.env["REDIS_URL"], "service", () => undefined);
const store = new RedisQuotaStore(redis, { leaseMs: Number(process.env["LEASE_MS"] ?? 30_000) });
let leases = 0;

process.on("message", async ({ claims, ms, pauseMs = 0, refusalsMax = Number.POSITIVE_INFINITY }) => {
  const admittedAt = [];
  const end = performance.now() + ms;
  let refused = 0;
  const hammer = async () => {
    while (performance.now() < end && refused < refusalsMax) {
      const { isAdmitted } = await store.take(claims, `${process.pid}-${++leases}`);
      if (isAdmitted) admittedAt.push(Date.now());
      else refused++;
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  await Promise.all([hammer(), hammer(), hammer()]);
  process.send({ admittedAt });
});
process.send({ ready: true });
