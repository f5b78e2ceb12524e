import { Refusal } from "../problem.ts";
import type { PolicyClaim, QuotaUnit } from "./quota-policy.ts";
import { type Taken, windowMs } from "./quota-store.ts";

/** `qu` of the draft's registry where it has one; "tokens" it has not. */
const quotaUnits: Readonly<Record<QuotaUnit, string | undefined>> = {
  requests: undefined,
  searches: undefined,
  tokens: "tokens",
  streams: "concurrent-requests",
};

/** `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11: every quota, and what is left of it. Seconds are rounded up. */
export function quotaHeaders(claims: readonly PolicyClaim[], { states }: Taken): Readonly<Record<string, string>> {
  if (claims.length === 0) return {};
  const policies = claims.map(({ name, unit, kind, max }) => {
    const quotaUnit = quotaUnits[unit];
    return `"${name}";q=${max}${quotaUnit === undefined ? "" : `;qu="${quotaUnit}"`}${kind === "window" ? `;w=${windowMs / 1_000}` : ""}`;
  });
  const left = claims.map(({ name }, index) => {
    const { remaining = 0, resetMs = 0 } = states[index] ?? {};
    return `"${name}";r=${remaining}${resetMs === 0 ? "" : `;t=${Math.ceil(resetMs / 1_000)}`}`;
  });
  return { "ratelimit-policy": policies.join(", "), ratelimit: left.join(", ") };
}

/** A request that a quota does not allow now. Tells which, when to come back, and the state of all quotas. */
export class QuotaRefusal extends Refusal {
  readonly unit: QuotaUnit;
  override readonly headers: Readonly<Record<string, string>>;
  override readonly extensions: Readonly<Record<string, unknown>>;

  constructor(claims: readonly PolicyClaim[], taken: Taken) {
    const violated = claims.filter((_, index) => taken.states[index]?.isRefused === true);
    const [{ name, unit, max, cost }] = violated as [PolicyClaim];
    const problem =
      cost > max
        ? `This needs up to ${cost} ${unit}, more than the quota "${name}" of ${max} in a minute`
        : `The quota "${name}" of ${max} ${unit}${unit === "streams" ? " at a time" : " in a minute"} is used up`;
    const retryAfter = Math.max(1, Math.ceil(taken.retryMs / 1_000));
    super(429, `quota.${unit}`, problem, "Come back later, or have the quota raised.", retryAfter);
    this.unit = unit;
    this.headers = quotaHeaders(claims, taken);
    this.extensions = { "violated-policies": violated.map((claim) => claim.name) };
  }
}
