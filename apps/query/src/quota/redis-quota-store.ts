import { limits } from "@millrace/core";
import type { Redis } from "@millrace/runtime";
import { type Claim, type ClaimState, type Lease, type QuotaStore, sliceMs, slicesPerWindow, type Taken, windowMs } from "./quota-store.ts";

/**
 * Takes all claims or none, by the clock of Redis, so that any number of processes count as one.
 *
 * A window is a hash: slice -> units, `total` of all slices, `first` slice that has units. What left the window is subtracted when somebody asks, each slice
 * once, so that a call costs the same however much is counted. A set of leases is a zset: lease id -> when it runs out.
 *
 *   KEYS  one per claim
 *   ARGV  [1] lease id, then kind, max and cost of each claim, and at the end the milliseconds of a lease
 * Returns {slice, retryMs, and refused (0|1), remaining, resetMs of each claim}.
 */
const takeScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slice = math.floor(now / ${sliceMs})
local oldest = slice - ${slicesPerWindow}
local function leavesIn(each) return (each + ${slicesPerWindow + 1}) * ${sliceMs} - now end
local leaseMs = ARGV[#ARGV]
local reply, admitted, retry = {slice, 0}, true, 0

for i, key in ipairs(KEYS) do
  local max, cost = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local need, used, reset = math.max(cost, 1), 0, 0
  if ARGV[3 * i - 1] == 'lease' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    used = redis.call('ZCARD', key)
    if used + need > max then retry = math.max(retry, 1000) end
  else
    local first
    used, first = unpack(redis.call('HMGET', key, 'total', 'first'))
    used, first = tonumber(used or 0), tonumber(first or slice)
    if first < oldest - ${slicesPerWindow} then
      redis.call('DEL', key)
      used, first = 0, slice
    end
    while first < slice do
      local units = redis.call('HGET', key, first)
      if units and first >= oldest then break end
      if units then
        used = used - units
        redis.call('HDEL', key, first)
      end
      first = first + 1
    end
    if used > 0 then
      redis.call('HSET', key, 'total', used, 'first', first)
      reset = leavesIn(first)
    else
      redis.call('DEL', key)
    end
    if used + need > max then
      local left, each = used, first
      while each < slice and left + need > max do
        left = left - (redis.call('HGET', key, each) or 0)
        if left + need > max then each = each + 1 end
      end
      retry = math.max(retry, leavesIn(each))
    end
  end
  local refused = used + need > max
  if refused then admitted = false end
  reply[3 * i], reply[3 * i + 1], reply[3 * i + 2] = refused and 1 or 0, math.max(0, max - used), reset
end
reply[2] = retry
if not admitted then return reply end

for i, key in ipairs(KEYS) do
  local cost = tonumber(ARGV[3 * i + 1])
  if ARGV[3 * i - 1] == 'lease' then
    redis.call('ZADD', key, now + leaseMs, ARGV[1])
    redis.call('PEXPIRE', key, leaseMs)
    reply[3 * i + 1] = reply[3 * i + 1] - 1
  elseif cost > 0 then
    redis.call('HSETNX', key, 'first', slice)
    redis.call('HINCRBY', key, slice, cost)
    redis.call('HINCRBY', key, 'total', cost)
    redis.call('PEXPIRE', key, ${windowMs + 2 * sliceMs})
    reply[3 * i + 1] = reply[3 * i + 1] - cost
    if reply[3 * i + 2] == 0 then reply[3 * i + 2] = leavesIn(slice) end
  end
end
return reply
`;

/** KEYS windows, ARGV[1] slice, [2] units more or less. A slice that has left its window needs no correction. */
const settleScript = `
for _, key in ipairs(KEYS) do
  if redis.call('HEXISTS', key, ARGV[1]) == 1 then
    redis.call('HINCRBY', key, ARGV[1], ARGV[2])
    redis.call('HINCRBY', key, 'total', ARGV[2])
  end
end
`;

/** KEYS sets of leases, ARGV[1] lease id, [2] milliseconds. */
const renewScript = `
local time = redis.call('TIME')
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', key, ARGV[2])
end
`;

/** Quotas on the queue Redis, where nothing is evicted: a counter that vanishes would be a quota that starts anew. */
export class RedisQuotaStore implements QuotaStore {
  readonly leaseMs: number;
  readonly #redis: Redis;

  constructor(redis: Redis, { leaseMs = limits.streamLeaseMs }: { readonly leaseMs?: number } = {}) {
    this.#redis = redis;
    this.leaseMs = leaseMs;
  }

  /** @throws Error of the Redis client; then nobody knows whether it was taken */
  async take(claims: readonly Claim[], leaseId: string): Promise<Taken> {
    const args = claims.flatMap(({ kind, max, cost }) => [kind, max, cost]);
    const keys = claims.map(({ key }) => key);
    const reply = (await this.#redis.eval(takeScript, keys.length, ...keys, leaseId, ...args, this.leaseMs)) as number[];
    const [slice = 0, retryMs = 0, ...rest] = reply;
    const states = claims.map((_, index): ClaimState => {
      const [refused, remaining = 0, resetMs = 0] = rest.slice(3 * index, 3 * index + 3);
      return { isRefused: refused === 1, remaining, resetMs };
    });
    return { isAdmitted: states.every(({ isRefused }) => !isRefused), states, retryMs, slice };
  }

  async settle(keys: readonly string[], slice: number, delta: number): Promise<void> {
    await this.#redis.eval(settleScript, keys.length, ...keys, slice, delta);
  }

  async renew(leases: readonly Lease[]): Promise<void> {
    await Promise.all(leases.map(({ keys, leaseId }) => this.#redis.eval(renewScript, keys.length, ...keys, leaseId, this.leaseMs)));
  }

  async release({ keys, leaseId }: Lease): Promise<void> {
    await Promise.all(keys.map((key) => this.#redis.zrem(key, leaseId)));
  }
}
