import type { ProjectName } from "@millrace/core";
import type { Redis } from "ioredis";
import { queuePrefix } from "./catalog.ts";

/**
 * The order of jobs among projects: start-time fair queueing (Goyal, Vin and Cheng, 1996) with one unit of work per document. Each job gets a
 * virtual start time as its BullMQ priority: one more than the project's job before it, but never less than that of the first one waiting.
 * So a project with 10,000 waiting documents and one with a single one take turns, and a project that was idle gains no credit by it.
 *
 * Interactive jobs have a band of their own before bulk ones. A band has a million places; they begin anew whenever the band runs empty, and
 * what does not fit behind the last place waits there in order of arrival.
 */
export type Urgency = "interactive" | "bulk";

const bandPlaces = 2 ** 20;
const bands: Readonly<Record<Urgency, { readonly first: number; readonly last: number }>> = {
  interactive: { first: 1, last: bandPlaces - 1 },
  bulk: { first: bandPlaces, last: 2 * bandPlaces - 1 },
};
/** BullMQ keeps waiting jobs in a sorted set with the score priority × 2^32 + counter. */
const scoreUnit = 2 ** 32;

/**
 *   KEYS[1] BullMQ's set of waiting jobs [2] hash: urgency and project -> last place given
 *   ARGV[1] project [2] urgency [3] first and [4] last place of the band [5] score per place [6] places wanted
 * Returns the first place given.
 */
const takePlaces = `
local first, last, unit, wanted = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local head = redis.call('ZRANGEBYSCORE', KEYS[1], first * unit, (last + 1) * unit - 1, 'WITHSCORES', 'LIMIT', 0, 1)
local field = ARGV[2] .. ':' .. ARGV[1]
local start = first
if #head == 0 then
  -- Nobody waits, so nobody can be overtaken: all projects begin anew.
  for _, key in ipairs(redis.call('HKEYS', KEYS[2])) do
    if string.sub(key, 1, #ARGV[2]) == ARGV[2] then redis.call('HDEL', KEYS[2], key) end
  end
else
  local before = tonumber(redis.call('HGET', KEYS[2], field) or '0')
  start = math.max(math.floor(tonumber(head[2]) / unit), before + 1)
end
redis.call('HSET', KEYS[2], field, math.min(start + wanted - 1, last))
return start
`;

/** Priorities for `count` jobs of a project, in order. */
export async function fairPriorities(redis: Redis, project: ProjectName, urgency: Urgency, count: number): Promise<number[]> {
  const { first, last } = bands[urgency];
  const keys = [`${queuePrefix}:documents:prioritized`, `${queuePrefix}:fair`];
  const start = Number(await redis.eval(takePlaces, keys.length, ...keys, project, urgency, first, last, scoreUnit, count));
  return Array.from({ length: count }, (_, index) => Math.min(start + index, last));
}
