import type { StoredHit } from "./ports.ts";

/**
 * Hits by document: groups in the order of their best hits, each with its `size` best.
 * @param hits best first
 */
export function groupByDocument<Hit extends StoredHit>(hits: readonly Hit[], size: number): Hit[][] {
  const groups = new Map<string, Hit[]>();
  for (const hit of hits) {
    const group = groups.get(hit.documentId);
    if (group === undefined) groups.set(hit.documentId, [hit]);
    else if (group.length < size) group.push(hit);
  }
  return [...groups.values()];
}
