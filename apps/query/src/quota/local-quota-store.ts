import { type Claim, type ClaimState, type Lease, type QuotaStore, sliceMs, slicesPerWindow, type Taken } from "./quota-store.ts";

const keysMax = 10_000;

/** The same counts in the memory of this process, for the time that Redis is away. */
export class LocalQuotaStore implements QuotaStore {
  readonly leaseMs = Number.POSITIVE_INFINITY;
  readonly #now: () => number;
  readonly #windows = new Map<string, Map<number, number>>();
  readonly #leases = new Map<string, Set<string>>();

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  async take(claims: readonly Claim[], leaseId: string): Promise<Taken> {
    const slice = Math.floor(this.#now() / sliceMs);
    const looked = claims.map((claim) => this.#look(claim, slice));
    const isAdmitted = looked.every(({ isRefused }) => !isRefused);
    if (!isAdmitted) return { isAdmitted, states: looked, retryMs: Math.max(...looked.map(({ retryMs }) => retryMs)), slice };
    for (const { kind, key, cost } of claims) {
      if (kind === "lease") this.#leasesOf(key).add(leaseId);
      else if (cost > 0) this.#windowOf(key).set(slice, (this.#windowOf(key).get(slice) ?? 0) + cost);
    }
    const states = looked.map((state, index) => {
      const { kind, cost } = claims[index] as Claim;
      if (kind === "lease") return { ...state, remaining: state.remaining - 1 };
      const resetMs = state.resetMs === 0 && cost > 0 ? this.#leavesIn(slice) : state.resetMs;
      return { ...state, remaining: state.remaining - cost, resetMs };
    });
    return { isAdmitted, states, retryMs: 0, slice };
  }

  async settle(keys: readonly string[], slice: number, delta: number): Promise<void> {
    for (const key of keys) {
      const window = this.#windows.get(key);
      const units = window?.get(slice);
      if (units !== undefined) window?.set(slice, units + delta);
    }
  }

  /** They live as long as the process does. */
  async renew(): Promise<void> {}

  async release({ keys, leaseId }: Lease): Promise<void> {
    for (const key of keys) this.#leases.get(key)?.delete(leaseId);
  }

  #look({ kind, key, max, cost }: Claim, slice: number): ClaimState & { readonly retryMs: number } {
    const need = Math.max(cost, 1);
    if (kind === "lease") {
      const used = this.#leasesOf(key).size;
      return { isRefused: used + 1 > max, remaining: Math.max(0, max - used), resetMs: 0, retryMs: used + 1 > max ? 1_000 : 0 };
    }
    const window = this.#windowOf(key);
    for (const each of [...window.keys()]) if (each < slice - slicesPerWindow) window.delete(each);
    let used = [...window.values()].reduce((sum, units) => sum + units, 0);
    const state = {
      isRefused: used + need > max,
      remaining: Math.max(0, max - used),
      resetMs: used > 0 ? this.#leavesIn(Math.min(...window.keys())) : 0,
    };
    let retryMs = 0;
    // Slices were added in the order of time.
    for (const [each, units] of window) {
      if (used + need <= max) break;
      used -= units;
      retryMs = this.#leavesIn(each);
    }
    return { ...state, retryMs };
  }

  #leavesIn(slice: number): number {
    return Math.ceil((slice + slicesPerWindow + 1) * sliceMs - this.#now());
  }

  #windowOf(key: string): Map<number, number> {
    return entryOf(this.#windows, key, () => new Map());
  }

  #leasesOf(key: string): Set<string> {
    return entryOf(this.#leases, key, () => new Set());
  }
}

/** The entry under a key, made where there is none. Of too many, the oldest goes. */
function entryOf<T>(entries: Map<string, T>, key: string, make: () => T): T {
  let entry = entries.get(key);
  if (entry === undefined) {
    entry = make();
    entries.set(key, entry);
    const [oldest] = entries.keys();
    if (entries.size > keysMax && oldest !== undefined) entries.delete(oldest);
  }
  return entry;
}
