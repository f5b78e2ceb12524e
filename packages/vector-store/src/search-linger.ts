import type { LastBatch } from "@millrace/runtime";

/**
 * How long searches that wait for Milvus wait on for company when a request has come back, in milliseconds. Who has its reply often asks again: sent at
 * once, sixteen callers would fall into two groups for good, each of which waits for the other. A quarter of what the request took costs less than that,
 * and up to half where more are coming. Who finds Milvus idle waits for nothing.
 */
export function searchLingerMs({ tookMs, agoMs, othersWaited }: LastBatch, isMoreComing: () => boolean): number {
  if (!othersWaited) return 0;
  if (agoMs < tookMs / 4) return tookMs / 4 - agoMs;
  return agoMs < tookMs / 2 && isMoreComing() ? pollMs : 0;
}

const pollMs = 1;
