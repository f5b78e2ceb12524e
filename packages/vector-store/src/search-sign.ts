import type { Redis } from "ioredis";

/**
 * Tells the writers of a Milvus Lite whether anybody searches it: what makes searches fast beside an ingest costs processor time, which is saved while
 * there are none.
 *
 * A key in Redis that runs out by itself. Who searches puts it up once a second at most and waits for nothing; who writes looks at it with each write.
 */
export class SearchSign {
  readonly #redis: Redis;
  readonly #key: string;
  #raisedAt = Number.NEGATIVE_INFINITY;

  constructor(redis: Redis, key: string) {
    this.#redis = redis;
    this.#key = key;
  }

  /** To be called by who searches, before each request. Where Redis does not answer, the writers do not know of it, and only speed is at stake. */
  raise(): void {
    const now = performance.now();
    if (now - this.#raisedAt < raiseEveryMs) return;
    this.#raisedAt = now;
    this.#redis.set(this.#key, "1", "PX", lifeMs).catch(() => undefined);
  }

  /** Whether somebody has searched in the last seconds. @throws what Redis throws */
  async isUp(): Promise<boolean> {
    return (await this.#redis.exists(this.#key)) === 1;
  }
}

const raiseEveryMs = 1_000;
/** Somebody who asks, reads and asks again is to be taken for one who searches all the time. */
const lifeMs = 60_000;
