import { DependencyError, errorMessage, estimateTokens, limits, type ProjectName } from "@millrace/core";
import type { Ledger } from "@millrace/ledger";
import type { Redis } from "@millrace/runtime";

/** Whose conversations: those of another key, even of the same project, do not exist for this one. */
export interface SessionOwner {
  readonly project: ProjectName;
  readonly keyId: string;
}

export interface SessionTurn {
  /** As it was asked. */
  readonly question: string;
  /** As it was searched for. */
  readonly standalone: string;
  readonly answer: string;
  /** Documents that the answer cites. */
  readonly documentIds: readonly string[];
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface SessionSummary {
  readonly sessionId: string;
  readonly turns: number;
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
}

export interface SessionsOptions {
  readonly ttlSeconds?: number;
  readonly tokensMax?: number;
  readonly sessionsMax?: number;
}

/**
 * Adds a turn, forgets the oldest beyond the tokens, and the conversations unused for longest beyond their number.
 *
 * KEYS[1] list of turns · KEYS[2] sorted set: session id by the time of its last turn (ms)
 * ARGV turn (JSON) · tokensMax · ttlSeconds · sessionsMax · session id · "1": only if it exists · key of a session without its id
 */
const rememberScript = `
if ARGV[6] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[1])
local turns = redis.call('LRANGE', KEYS[1], 0, -1)
local tokens, kept = 0, 0
for i = #turns, 1, -1 do
  tokens = tokens + cjson.decode(turns[i]).tokens
  if tokens > tonumber(ARGV[2]) then break end
  kept = kept + 1
end
redis.call('LTRIM', KEYS[1], -kept, -1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[2], now, ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3] * 1000)
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -(ARGV[4] + 1))) do
  redis.call('DEL', ARGV[7] .. id)
  redis.call('ZREM', KEYS[2], id)
end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
`;

/** Conversations, on the queue Redis: unlike what is cached, nothing can make them again. @throws DependencyError `sessions.unavailable`, from every method */
export class Sessions {
  readonly counts = { remembered: 0, recalled: 0, failed: 0 };
  readonly #redis: Redis;
  readonly #options: Required<SessionsOptions>;

  constructor(redis: Redis, options: SessionsOptions = {}) {
    this.#redis = redis;
    this.#options = {
      ttlSeconds: limits.sessionTtlSeconds,
      tokensMax: limits.sessionTokensMax,
      sessionsMax: limits.sessionsPerKeyMax,
      ...options,
    };
  }

  /** Oldest first; none where there is no such conversation. */
  async turns(owner: SessionOwner, sessionId: string): Promise<SessionTurn[]> {
    const turns = await this.#call((redis) => redis.lrange(sessionKey(owner, sessionId), 0, -1));
    if (turns.length > 0) this.counts.recalled++;
    return turns.map((turn) => JSON.parse(turn) as SessionTurn);
  }

  /** @param goesOn whether the conversation existed when the question came: one that was deleted meanwhile stays deleted */
  async remember(owner: SessionOwner, sessionId: string, turn: SessionTurn, goesOn: boolean): Promise<void> {
    const { ttlSeconds, tokensMax, sessionsMax } = this.#options;
    const fitting = { ...turn, answer: cut(turn.answer, tokensMax - estimateTokens(turn.question) - estimateTokens(turn.standalone)) };
    const tokens = Math.min(
      tokensMax,
      estimateTokens(fitting.question) + estimateTokens(fitting.standalone) + estimateTokens(fitting.answer),
    );
    const keys = [sessionKey(owner, sessionId), indexKey(owner)];
    await this.#call((redis) =>
      redis.eval(
        rememberScript,
        ...[keys.length, ...keys],
        ...[
          JSON.stringify({ ...fitting, tokens }),
          tokensMax,
          ttlSeconds,
          sessionsMax,
          sessionId,
          goesOn ? "1" : "0",
          sessionKey(owner, ""),
        ],
      ),
    );
    this.counts.remembered++;
  }

  /** Those last used first. */
  async list(owner: SessionOwner): Promise<SessionSummary[]> {
    const found = await this.#call((redis) => redis.zrevrange(indexKey(owner), 0, -1, "WITHSCORES"));
    const sessions = Array.from({ length: found.length / 2 }, (_, index) => ({
      sessionId: String(found[2 * index]),
      updatedAt: Number(found[2 * index + 1]),
    }));
    const lengths = await this.#call((redis) => Promise.all(sessions.map(({ sessionId }) => redis.llen(sessionKey(owner, sessionId)))));
    // Its entry here outlives one that nobody has used since.
    return sessions.map((session, index) => ({ ...session, turns: lengths[index] ?? 0 })).filter(({ turns }) => turns > 0);
  }

  /** False when there was none. */
  async delete(owner: SessionOwner, sessionId: string): Promise<boolean> {
    const [deleted] = await this.#call((redis) =>
      Promise.all([redis.del(sessionKey(owner, sessionId)), redis.zrem(indexKey(owner), sessionId)]),
    );
    return deleted === 1;
  }

  async #call<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await command(this.#redis);
    } catch (error) {
      this.counts.failed++;
      throw new DependencyError("sessions.unavailable", `The queue Redis failed: ${errorMessage(error)}`, { cause: error });
    }
  }
}

export type ToldTurn = Omit<SessionTurn, "answer"> & { readonly answer: string | undefined };

/** Deleted means gone: an answer that cites a document which has been deleted is told no more, to nobody. */
export async function withdrawDeleted(
  turns: readonly SessionTurn[],
  project: ProjectName,
  ledger: Pick<Ledger, "liveGenerations">,
): Promise<ToldTurn[]> {
  const live = await ledger.liveGenerations(project, [...new Set(turns.flatMap(({ documentIds }) => documentIds))]);
  return turns.map((turn) => ({ ...turn, answer: turn.documentIds.every((id) => live.has(id)) ? turn.answer : undefined }));
}

/** At most so many tokens of a text, from its start. */
function cut(text: string, tokensMax: number): string {
  if (estimateTokens(text) <= tokensMax) return text;
  // Of three bytes at most in a code unit, so that as many code units as tokens always fit.
  return `${text.slice(0, Math.max(0, tokensMax - 1)).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

function sessionKey({ project, keyId }: SessionOwner, sessionId: string): string {
  return `millrace:{${project}}:session:${keyId}:${sessionId}`;
}

function indexKey({ project, keyId }: SessionOwner): string {
  return `millrace:{${project}}:sessions:${keyId}`;
}
