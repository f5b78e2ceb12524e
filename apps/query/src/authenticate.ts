import { type ProjectName, parseProjectName } from "@millrace/core";
import type { Principal, Scope } from "@millrace/ledger";
import { Refusal } from "./problem.ts";

/** What an app knows of a request that it has authenticated. */
export type Env = { Variables: { principal: Principal; project: ProjectName } };

export interface KeyVerifier {
  verify(text: string): Promise<Principal | undefined>;
}

const defaultProject = "default";

/** @throws Refusal 401 `key.invalid` */
export async function authenticate(keys: KeyVerifier, header: string | undefined): Promise<Principal> {
  const principal = header?.startsWith("Bearer ") === true ? await keys.verify(header.slice("Bearer ".length).trim()) : undefined;
  if (principal === undefined)
    throw new Refusal(401, "key.invalid", "A valid API key is needed", "Send it as `Authorization: Bearer <key>`.");
  return principal;
}

/** @throws Refusal 403 `key.scope` */
export function requireScope(principal: Pick<Principal, "scopes">, scope: Scope): void {
  if (principal.scopes.includes(scope)) return;
  throw new Refusal(
    403,
    "key.scope",
    `The key may not ${scope}`,
    `A key keeps the scopes it was made with: \`millrace keys create --scope ${scope}\`.`,
  );
}

/**
 * A project's key works in its own project only; whether another one exists is not told.
 * @throws Refusal 404 `project.unknown`; InvalidInputError
 */
export function projectOf(principal: Principal, header: string | undefined): ProjectName {
  if (principal.project === undefined) return parseProjectName(header ?? defaultProject);
  if (header !== undefined && header !== principal.project) {
    throw new Refusal(
      404,
      "project.unknown",
      "There is no such project for this key",
      "Leave X-Millrace-Project out: the key names its project.",
    );
  }
  return principal.project;
}
