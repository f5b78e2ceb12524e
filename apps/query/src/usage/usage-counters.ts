import { randomBytes } from "node:crypto";
import { DependencyError, errorMessage, type ProjectName, parseProjectName } from "@millrace/core";
import type { Logger, Redis } from "@millrace/runtime";

const fields = [
  "questions",
  /** Answered by the language model; with its sources' own sentences; from the cache. */
  "generated",
  "extractive",
  "cached",
  "prompt_tokens",
  "completion_tokens",
  /** What answers from the cache had cost when they were made. */
  "saved_prompt_tokens",
  "saved_completion_tokens",
  "searches",
  "searches_cached",
] as const;

export type UsageAmounts = Readonly<Record<(typeof fields)[number], number>>;

/** What a project used on a day (UTC, `2026-11-25`). */
export interface UsageOfDay {
  readonly project: ProjectName;
  readonly day: string;
  readonly amounts: UsageAmounts;
}

export interface UsageCountersOptions {
  readonly redis: Redis;
  readonly retentionDays: number;
  readonly logger: Logger;
}

interface Batch {
  readonly project: ProjectName;
  /** Under which Redis keeps the amounts. */
  readonly key: string;
  /** Of this process, ever higher: a batch is written once, however often it is sent. */
  readonly sequence: number;
  readonly amounts: Record<keyof UsageAmounts, number>;
}

const flushMs = 1_000;
const dayMs = 86_400_000;
const projectsKey = "millrace:usage:projects";

/**
 * Adds amounts to a day, unless this batch was added before: when a reply is lost, nobody knows whether it was.
 * KEYS[1] hash: amount by field, and `#process` -> sequence of its last batch · ARGV seconds to keep the day, process, sequence, then field, amount, …
 */
const addScript = `
local process = '#' .. ARGV[2]
if tonumber(redis.call('HGET', KEYS[1], process) or 0) >= tonumber(ARGV[3]) then return end
redis.call('HSET', KEYS[1], process, ARGV[3])
for i = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
`;

/**
 * What projects use, by the day, on the queue Redis. Counted in memory and written every second, so that no request waits for it; a process that is killed
 * loses the last second, one that is stopped nothing.
 */
export class UsageCounters {
  readonly #options: UsageCountersOptions;
  readonly #now: () => number;
  /** By project and number of the day: every search counts, and to write a date takes longer than to count. */
  readonly #counting = new Map<string, Batch>();
  /** At most one of a project and day, by its key, until Redis has it. */
  readonly #sending = new Map<string, Batch>();
  readonly #process = randomBytes(6).toString("hex");
  #sequence = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param now milliseconds since 1970 */
  constructor(options: UsageCountersOptions, now: () => number = Date.now) {
    this.#options = options;
    this.#now = now;
  }

  add(project: ProjectName, amounts: Partial<UsageAmounts>): void {
    const now = this.#now();
    const of = `${project} ${Math.floor(now / dayMs)}`;
    let batch = this.#counting.get(of);
    if (batch === undefined) {
      batch = { project, key: usageKey(project, dayOf(now)), sequence: ++this.#sequence, amounts: { ...noUsage } };
      this.#counting.set(of, batch);
    }
    for (const field in amounts) batch.amounts[field as keyof UsageAmounts] += amounts[field as keyof UsageAmounts] ?? 0;
    this.#timer ??= setTimeout(() => void this.flush(), flushMs).unref();
  }

  /** Writes what was counted. What cannot be written is kept for the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [of, batch] of this.#counting) {
      if (this.#sending.has(batch.key)) continue;
      this.#sending.set(batch.key, batch);
      this.#counting.delete(of);
    }
    await Promise.all(
      [...this.#sending.values()].map((batch) =>
        this.#send(batch).then(
          () => this.#sending.delete(batch.key),
          (error: unknown) => this.#options.logger.warn({ reason: errorMessage(error) }, "usage.not_written"),
        ),
      ),
    );
    if (this.#sending.size + this.#counting.size > 0) this.#timer ??= setTimeout(() => void this.flush(), flushMs).unref();
  }

  async close(): Promise<void> {
    await this.flush();
    clearTimeout(this.#timer);
  }

  /**
   * Days with any usage, oldest first, of a project or of all.
   * @param days `2026-11-25`, …
   * @throws DependencyError `usage.unavailable`
   */
  async read(project: ProjectName | undefined, days: readonly string[]): Promise<UsageOfDay[]> {
    try {
      const { redis } = this.#options;
      const projects = project === undefined ? (await redis.smembers(projectsKey)).sort().map((name) => parseProjectName(name)) : [project];
      const wanted = days.flatMap((day) => projects.map((each) => ({ project: each, day })));
      const hashes = await Promise.all(wanted.map((each) => redis.hgetall(usageKey(each.project, each.day))));
      return wanted.flatMap((each, index) => {
        const hash = hashes[index] ?? {};
        const found = fields.flatMap((field) => (hash[field] === undefined ? [] : [[field, Number(hash[field])]]));
        return found.length === 0 ? [] : [{ ...each, amounts: { ...noUsage, ...Object.fromEntries(found) } }];
      });
    } catch (error) {
      throw new DependencyError("usage.unavailable", `The queue Redis failed: ${errorMessage(error)}`, { cause: error });
    }
  }

  async #send({ project, key, sequence, amounts }: Batch): Promise<void> {
    const { redis, retentionDays } = this.#options;
    const used = Object.entries(amounts).filter(([, amount]) => amount > 0);
    await Promise.all([
      redis.eval(addScript, 1, key, retentionDays * 86_400, this.#process, sequence, ...used.flat()),
      redis.sadd(projectsKey, project),
    ]);
  }
}

export const noUsage: UsageAmounts = Object.fromEntries(fields.map((field) => [field, 0])) as UsageAmounts;

/** `2026-11-25`, of UTC. */
export function dayOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 10);
}

/** From one day to another, both included. */
export function daysBetween(from: string, to: string): string[] {
  const [first, last] = [Date.parse(from), Date.parse(to)];
  return Array.from({ length: Math.max(0, (last - first) / dayMs + 1) }, (_, index) => dayOf(first + index * dayMs));
}

function usageKey(project: ProjectName, day: string): string {
  return `millrace:{${project}}:usage:${day}`;
}
