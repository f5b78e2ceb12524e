import { DependencyError, errorMessage, limits } from "@millrace/core";
import type { Redis } from "ioredis";

/**
 * How the index over the vectors is built and searched on Milvus. Milvus Lite searches all rows exactly and has no such settings. What `millrace tune --apply`
 * has chosen for an embedding space stands in the queue Redis, where every process reads it.
 */
export type IndexSettings =
  | {
      readonly type: "HNSW";
      readonly build: { readonly M: number; readonly efConstruction: number };
      /** For a search for `tunedLimit` hits. */
      readonly search: { readonly ef: number };
    }
  | { readonly type: "IVF_FLAT"; readonly build: { readonly nlist: number }; readonly search: { readonly nprobe: number } };

/** Hits that a search in the default mode asks the index for, and what `ef` is meant for. */
export const tunedLimit = limits.candidatesMin + limits.spareRows;
/** Below so many hits, `ef` gets no smaller. */
const limitMin = 64;

export const defaultIndexSettings: IndexSettings = { type: "HNSW", build: { M: 16, efConstruction: 200 }, search: { ef: 2 * tunedLimit } };

/** Parameters of a search for `limit` hits: HNSW looks at `ef` candidates, the more the more hits are wanted, and refuses less than the limit. */
export function searchParametersOf(settings: IndexSettings, limit: number): Readonly<Record<string, number>> {
  if (settings.type === "IVF_FLAT") return settings.search;
  return { ef: Math.max(limit, Math.ceil((settings.search.ef / tunedLimit) * Math.max(limit, limitMin))) };
}

/** @throws DependencyError `store.settings_unavailable` */
export async function readIndexSettings(redis: Redis, fingerprint: string): Promise<IndexSettings> {
  try {
    const text = await redis.get(keyOf(fingerprint));
    return text === null ? defaultIndexSettings : (JSON.parse(text) as IndexSettings);
  } catch (error) {
    throw new DependencyError("store.settings_unavailable", `The settings of the index cannot be read: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

export async function writeIndexSettings(redis: Redis, fingerprint: string, settings: IndexSettings): Promise<void> {
  try {
    await redis.set(keyOf(fingerprint), JSON.stringify(settings));
  } catch (error) {
    throw new DependencyError("store.settings_unavailable", `The settings of the index cannot be kept: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

function keyOf(fingerprint: string): string {
  return `millrace:index:${fingerprint}`;
}
