import { timingSafeEqual } from "node:crypto";
import { DependencyError, errorMessage, InvalidInputError, type ProjectName, parseProjectName, sha256Of } from "@millrace/core";
import type { Redis } from "ioredis";

export type Scope = "read" | "ingest";

/** Whom a key speaks for: an admin for every project, any other for one. */
export interface Principal {
  readonly keyId: string;
  /** Undefined: admin. */
  readonly project: ProjectName | undefined;
  readonly scopes: readonly Scope[];
}

export interface KeyDescription extends Principal {
  readonly label: string;
  readonly createdAt: number;
}

const pattern = /^mr_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;
const indexKey = "millrace:keys";
/** A revoked key works no longer than this. */
const rememberedMs = 1_000;
const rememberedMax = 10_000;

/** API keys, stored as digests. A secret has 256 random bits, so a plain sha256 cannot be searched. */
export class ApiKeys {
  readonly #redis: Redis;
  readonly #remembered = new Map<string, { readonly principal: Principal | undefined; readonly until: number }>();
  /** Records that are being read; who asks meanwhile shares the read. */
  readonly #reads = new Map<string, Promise<Record<string, string>>>();

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** Registers the key `text` (of `newApiKeyText`); the secret itself is kept nowhere. @throws InvalidInputError `key.malformed` */
  async register(text: string, options: { project?: ProjectName; scopes: readonly Scope[]; label: string }): Promise<string> {
    const match = pattern.exec(text);
    if (match === null)
      throw new InvalidInputError("key.malformed", "This is not a Millrace key", { hint: "`millrace keys create` makes one." });
    const [, keyId = "", secret = ""] = match;
    await this.#call(async (redis) => {
      await redis.hset(recordKey(keyId), {
        digest: sha256Of(secret),
        project: options.project ?? "",
        scopes: options.scopes.join(" "),
        label: options.label,
        createdAt: Date.now(),
      });
      await redis.sadd(indexKey, keyId);
    });
    return keyId;
  }

  /** Undefined for anything that is no valid key, whatever bytes it is made of. @throws DependencyError `keys.unavailable` */
  async verify(text: string): Promise<Principal | undefined> {
    const match = pattern.exec(text);
    if (match === null) return undefined;
    const [, keyId = "", secret = ""] = match;
    const rememberedAs = sha256Of(text);
    const remembered = this.#remembered.get(rememberedAs);
    if (remembered !== undefined && remembered.until > performance.now()) return remembered.principal;
    const record = await this.#read(keyId);
    const digest = Buffer.from(sha256Of(secret), "hex");
    const stored = Buffer.from(record["digest"] ?? "", "hex");
    // Compared even when there is no such key, so that the time tells nothing.
    const equal = timingSafeEqual(digest, stored.length === digest.length ? stored : Buffer.alloc(digest.length));
    const principal = equal && stored.length === digest.length ? describe(keyId, record) : undefined;
    if (this.#remembered.size >= rememberedMax) this.#remembered.clear();
    this.#remembered.set(rememberedAs, { principal, until: performance.now() + rememberedMs });
    return principal;
  }

  async list(): Promise<KeyDescription[]> {
    const ids = (await this.#call((redis) => redis.smembers(indexKey))).sort();
    const records = await Promise.all(ids.map((id) => this.#call((redis) => redis.hgetall(recordKey(id)))));
    return ids.flatMap((id, index) => (records[index]?.["digest"] === undefined ? [] : [describe(id, records[index])]));
  }

  /** False when there was no such key. */
  async revoke(keyId: string): Promise<boolean> {
    await this.#call((redis) => redis.srem(indexKey, keyId));
    return (await this.#call((redis) => redis.del(recordKey(keyId)))) === 1;
  }

  #read(keyId: string): Promise<Record<string, string>> {
    const known = this.#reads.get(keyId);
    if (known !== undefined) return known;
    const read = this.#call((redis) => redis.hgetall(recordKey(keyId))).finally(() => this.#reads.delete(keyId));
    this.#reads.set(keyId, read);
    return read;
  }

  async #call<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await command(this.#redis);
    } catch (error) {
      throw new DependencyError("keys.unavailable", `The queue Redis failed: ${errorMessage(error)}`, { cause: error });
    }
  }
}

function describe(keyId: string, record: Readonly<Record<string, string>>): KeyDescription {
  const { project = "", scopes = "", label = "", createdAt = "0" } = record;
  return {
    keyId,
    project: project === "" ? undefined : parseProjectName(project),
    scopes: scopes.split(" ").filter((scope): scope is Scope => scope === "read" || scope === "ingest"),
    label,
    createdAt: Number(createdAt),
  };
}

function recordKey(keyId: string): string {
  return `millrace:key:${keyId}`;
}
