/**
 * The level of the cache that costs no round trip: least recently used entries go first, and the bytes of all of them are bounded. Every key names
 * the content that its value came from (an epoch, a model), so that nothing in here can become wrong, only old.
 */
export interface MemoryCacheOptions {
  readonly bytesMax: number;
}

interface Entry {
  readonly value: Uint8Array;
  /** On the clock of `performance.now()`. */
  readonly until: number;
}

/** What an entry weighs beside its value and the two bytes per character of its key: the map's slot, the objects. */
const entryBytes = 200;

export class MemoryCache {
  readonly #bytesMax: number;
  /** In the order of use, the oldest first: a Map keeps the order of insertion. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor({ bytesMax }: MemoryCacheOptions) {
    this.#bytesMax = bytesMax;
  }

  /** What the entries weigh together; never more than `bytesMax`. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Uint8Array | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.until <= performance.now()) {
      this.#bytes -= weight(key, entry.value);
      return undefined;
    }
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** A value that is larger than an eighth of the whole is not kept: it would drive out too many others. */
  set(key: string, value: Uint8Array, ttlMs: number): void {
    const before = this.#entries.get(key);
    if (before !== undefined) {
      this.#entries.delete(key);
      this.#bytes -= weight(key, before.value);
    }
    const added = weight(key, value);
    if (added > this.#bytesMax / 8) return;
    this.#entries.set(key, { value, until: performance.now() + ttlMs });
    this.#bytes += added;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#entries.delete(oldest);
      this.#bytes -= weight(oldest, entry.value);
    }
  }
}

function weight(key: string, value: Uint8Array): number {
  return value.byteLength + 2 * key.length + entryBytes;
}
