import { ConfigError } from "./errors.ts";
import type { EmbeddingSpace } from "./ports.ts";
import type { ProjectName } from "./project.ts";

/** What is remembered of the space that a project's vectors are of. */
export type SpaceIdentity = Pick<EmbeddingSpace, "modelId" | "dtype" | "fingerprint">;

export function sameSpace(a: SpaceIdentity, b: SpaceIdentity): boolean {
  return a.fingerprint === b.fingerprint;
}

/**
 * Vectors of two spaces cannot be compared, and a search by one among those of the other finds nothing. That must not look like an empty project.
 * @returns ConfigError `embed.space_mismatch` that names both spaces and the way out; undefined where they are the same, or the project has none yet
 */
export function spaceMismatch(
  project: ProjectName,
  indexed: SpaceIdentity | undefined,
  configured: SpaceIdentity,
): ConfigError | undefined {
  if (indexed === undefined || sameSpace(indexed, configured)) return undefined;
  return new ConfigError(
    "embed.space_mismatch",
    `The vectors of project ${project} are of ${nameOf(indexed)}, and the configured model is ${nameOf(configured)}`,
    { hint: `Configure the former model again, or embed the documents anew with \`millrace docs reembed --project ${project}\`.` },
  );
}

function nameOf({ modelId, dtype, fingerprint }: SpaceIdentity): string {
  return `${dtype === undefined ? modelId : `${modelId} ${dtype}`} (${fingerprint})`;
}
