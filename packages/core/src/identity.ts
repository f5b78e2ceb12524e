import { digestOfParts, sha256Of } from "./digest.ts";
import type { ProjectName } from "./project.ts";

// Identities are hashes of what they name, so that every process computes the same ones without asking, and a repeated write overwrites itself.

/** 32 hex characters. `source` is the stable name the user knows: a path relative to the ingest root, or a given id. */
export function documentIdOf(project: ProjectName, source: string): string {
  return digestOfParts(32, [project, source]);
}

/** Primary key of a chunk in the vector store, 40 hex characters. All keys of a generation follow from its chunk count: no scan finds them. */
export function chunkIdOf(project: ProjectName, documentId: string, generation: string, ordinal: number): string {
  return digestOfParts(40, [project, documentId, generation, String(ordinal)]);
}

export function chunkIdsOf(project: ProjectName, documentId: string, generation: string, chunkCount: number): string[] {
  return Array.from({ length: chunkCount }, (_, ordinal) => chunkIdOf(project, documentId, generation, ordinal));
}

/** sha256 of the source bytes, 64 hex characters: the name of the blob, and what "unchanged" means. */
export function contentHashOf(bytes: Uint8Array): string {
  return sha256Of(bytes);
}

/**
 * Everything besides the bytes that decides how a document becomes vectors. Two runs with the same fingerprint and the same
 * bytes yield the same chunks, so there is nothing to do; a changed fingerprint makes every document an update.
 */
export function pipelineFingerprintOf(parts: Readonly<Record<string, string | number | boolean>>): string {
  const sorted = Object.keys(parts).sort();
  return digestOfParts(
    16,
    sorted.flatMap((key) => [key, String(parts[key])]),
  );
}
