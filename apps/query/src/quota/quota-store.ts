/** What a request wants of one quota. */
export interface Claim {
  /** Of Redis; the claims of one request lie in one slot. */
  readonly key: string;
  /** `window`: so much in any minute. `lease`: so many at a time. */
  readonly kind: "window" | "lease";
  readonly max: number;
  /** Of a window: units that are taken; 0 only asks whether any is left. A lease is one. */
  readonly cost: number;
}

export interface ClaimState {
  readonly isRefused: boolean;
  /** Units that are left. */
  readonly remaining: number;
  /** Milliseconds until more may be left; 0 where nothing is used, or nobody knows. */
  readonly resetMs: number;
}

/** Everything that was claimed, or nothing of it. */
export interface Taken {
  readonly isAdmitted: boolean;
  /** In the order of the claims. */
  readonly states: readonly ClaimState[];
  /** Milliseconds after which the same claims may be admitted; 0 where they were. */
  readonly retryMs: number;
  /** Names the moment, for `settle`. */
  readonly slice: number;
}

/** Counts what is used. Two implementations: one for all processes, and one for a process on its own. */
export interface QuotaStore {
  /** A lease that is not renewed for so long has run out: that of a process that was killed. */
  readonly leaseMs: number;
  /** @param leaseId names the leases among the claims */
  take(claims: readonly Claim[], leaseId: string): Promise<Taken>;
  /** Corrects what was taken of these windows at `slice`, once it is known what was used: `delta` more, or less where negative. */
  settle(keys: readonly string[], slice: number, delta: number): Promise<void>;
  /** Keeps leases from running out. */
  renew(leases: readonly Lease[]): Promise<void>;
  release(lease: Lease): Promise<void>;
}

export interface Lease {
  readonly keys: readonly string[];
  readonly leaseId: string;
}

export const windowMs = 60_000;
/**
 * A window is counted in slices, and each slice leaves it as a whole once all of it is older than the window: so no minute, wherever it begins, has more
 * than the quota, and a caller who always takes what there is gets the quota every 60.5 s, which is less than 1 % short of it.
 */
export const sliceMs = 500;
export const slicesPerWindow = windowMs / sliceMs;
