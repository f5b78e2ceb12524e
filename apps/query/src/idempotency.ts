import { DependencyError, errorMessage, type ProjectName, sha256Of } from "@millrace/core";
import type { Redis } from "@millrace/runtime";
import { Refusal } from "./problem.ts";

/** A reply as it was given, to be given again. */
export interface StoredReply {
  readonly status: number;
  readonly body: string;
}

const keptSeconds = 86_400;
/** A request that died half-way holds its key for so long. */
const pendingSeconds = 60;
const keyCharsMax = 255;

/** `Idempotency-Key`: a request sent again under the same key gets the first one's reply, for a day; another request under it is refused. */
export class IdempotencyKeys {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /**
   * @param request what the request is about, to tell it from another one
   * @throws Refusal 400 `idempotency.invalid_key`, 409 `idempotency.in_progress`, 422 `idempotency.reused`
   */
  async once(project: ProjectName, key: string | undefined, request: string, perform: () => Promise<StoredReply>): Promise<StoredReply> {
    if (key === undefined) return perform();
    if (key === "" || key.length > keyCharsMax) {
      throw new Refusal(400, "idempotency.invalid_key", `An Idempotency-Key has 1 to ${keyCharsMax} characters`);
    }
    const name = `millrace:{${project}}:idempotency:${sha256Of(key)}`;
    const about = sha256Of(request);
    const claimed = await this.#call((redis) => redis.set(name, JSON.stringify({ about }), "EX", pendingSeconds, "NX"));
    if (claimed === "OK") {
      try {
        const reply = await perform();
        await this.#call((redis) => redis.set(name, JSON.stringify({ about, reply }), "EX", keptSeconds));
        return reply;
      } catch (error) {
        await this.#redis.del(name).catch(() => undefined); // it ends by itself in a minute
        throw error;
      }
    }
    const record = JSON.parse((await this.#call((redis) => redis.get(name))) ?? "{}") as { about?: string; reply?: StoredReply };
    if (record.about !== undefined && record.about !== about) {
      throw new Refusal(422, "idempotency.reused", "This Idempotency-Key belongs to another request", "Use a new key for a new request.");
    }
    if (record.reply === undefined)
      throw new Refusal(409, "idempotency.in_progress", "The first request with this key is still under way", "Ask again.");
    return record.reply;
  }

  async #call<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await command(this.#redis);
    } catch (error) {
      throw new DependencyError("ledger.unavailable", `The queue Redis failed: ${errorMessage(error)}`, { cause: error });
    }
  }
}
