import { DependencyError, type EmbeddingSpace, errorMessage, type ProjectName, type SpaceIdentity, spaceMismatch } from "@millrace/core";
import type { Redis } from "ioredis";

/** Hash: project -> the space that its vectors are of, JSON. */
const spacesKey = "millrace:spaces";

/**
 * Remembers which embedding space each project is in. The first document decides; from then on a process that is configured for another space is
 * refused, until the project is moved.
 */
export class EmbeddingSpaces {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** Undefined while nothing was embedded. @throws DependencyError `ledger.unavailable`, as every method here */
  async of(project: ProjectName): Promise<SpaceIdentity | undefined> {
    const text = await this.#call((redis) => redis.hget(spacesKey, project));
    return text === null ? undefined : (JSON.parse(text) as SpaceIdentity);
  }

  /**
   * To be called before a project gets vectors of `space`: makes it the project's where it has no other. A project without documents has none.
   * @throws ConfigError `embed.space_mismatch`
   */
  async claim(project: ProjectName, space: EmbeddingSpace): Promise<void> {
    let indexed = await this.of(project);
    if (indexed === undefined) {
      await this.#call((redis) => redis.hsetnx(spacesKey, project, textOf(space)));
      indexed = await this.of(project);
    }
    const mismatch = spaceMismatch(project, indexed, space);
    if (mismatch === undefined) return;
    if ((await this.#call((redis) => redis.zcard(`millrace:{${project}}:sources`))) > 0) throw mismatch;
    await this.move(project, space);
  }

  /** From here on the project is in `space`: documents are found again as they are embedded anew. Cached answers are unreachable. */
  async move(project: ProjectName, space: EmbeddingSpace): Promise<void> {
    await this.#call((redis) => redis.hset(spacesKey, project, textOf(space)));
    await this.#call((redis) => redis.incr(`millrace:{${project}}:epoch`));
  }

  /** Fingerprints of the spaces of all projects. */
  async inUse(): Promise<ReadonlySet<string>> {
    const texts = await this.#call((redis) => redis.hvals(spacesKey));
    return new Set(texts.map((text) => (JSON.parse(text) as SpaceIdentity).fingerprint));
  }

  async #call<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await command(this.#redis);
    } catch (error) {
      throw new DependencyError("ledger.unavailable", `The queue Redis failed: ${errorMessage(error)}`, { cause: error });
    }
  }
}

function textOf({ modelId, dtype, fingerprint }: EmbeddingSpace): string {
  return JSON.stringify({ modelId, dtype, fingerprint });
}
