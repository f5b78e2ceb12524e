import type { ProjectName } from "@millrace/core";
import type { QuotaConfig } from "@millrace/runtime";
import type { Claim } from "./quota-store.ts";

/** Whose quotas a request uses: those of its key in this project, and those of the project. */
export interface Caller {
  readonly keyId: string;
  readonly project: ProjectName;
}

export type QuotaUnit = keyof QuotaConfig["key"];

export interface PolicyClaim extends Claim {
  /** As clients are told of it: `key-requests`, `project-tokens`. */
  readonly name: string;
  readonly unit: QuotaUnit;
}

/** The claims of a caller on the quotas that are set; 0 sets none. */
export function claimsOf(
  { key, project: ofProject }: QuotaConfig,
  { keyId, project }: Caller,
  unit: QuotaUnit,
  cost: number,
): PolicyClaim[] {
  const prefix = `millrace:{${project}}:quota:${unit}`;
  const kind = unit === "streams" ? "lease" : "window";
  const claims: PolicyClaim[] = [
    { name: `key-${unit}`, key: `${prefix}:${keyId}`, max: key[unit], unit, kind, cost },
    { name: `project-${unit}`, key: prefix, max: ofProject[unit], unit, kind, cost },
  ];
  return claims.filter(({ max }) => max > 0);
}
