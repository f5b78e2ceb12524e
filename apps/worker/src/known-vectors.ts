import { chunkIdOf, chunkIdsOf, limits, type VectorStore } from "@millrace/core";
import type { DocumentEntry, GenerationRef, Ledger } from "@millrace/ledger";

/**
 * Vectors that need not be computed again, found by the text they were computed from: those of the version that is live, those of a document with the
 * same bytes (a renamed or copied file), and those that an earlier run of this very generation had written before it ended.
 */
export interface KnownVectors {
  /** @param texts of consecutive chunks of the document, the first of which is number `firstOrdinal` */
  find(texts: readonly string[], firstOrdinal: number, signal: AbortSignal): Promise<(Float32Array | undefined)[]>;
}

export async function openKnownVectors(
  ref: GenerationRef,
  entry: DocumentEntry,
  deps: { readonly ledger: Ledger; readonly store: VectorStore },
  signal: AbortSignal,
): Promise<KnownVectors> {
  const { ledger, store } = deps;
  const { project } = ref;
  const byText = new Map<string, Float32Array>();
  const read = async (chunkIds: readonly string[]): Promise<void> => {
    for (const { text, vector } of await store.vectors(project, chunkIds, signal)) byText.set(text, vector);
  };
  if (!entry.fresh) {
    if (entry.liveGeneration !== undefined && entry.liveChunks <= limits.reusedChunksMax) {
      await read(chunkIdsOf(project, ref.documentId, entry.liveGeneration, entry.liveChunks));
    }
    const twin = entry.liveContentHash === entry.contentHash ? undefined : await ledger.twin(project, entry.contentHash, entry.fingerprint);
    if (twin !== undefined && twin.chunks <= limits.reusedChunksMax) {
      await read(chunkIdsOf(project, twin.documentId, twin.generation, twin.chunks));
    }
  }
  return {
    async find(texts, firstOrdinal, findSignal) {
      if (firstOrdinal < entry.pendingChunks) {
        const chunkIds = texts.map((_, index) => chunkIdOf(project, ref.documentId, ref.generation, firstOrdinal + index));
        for (const { text, vector } of await store.vectors(project, chunkIds, findSignal)) byText.set(text, vector);
      }
      return texts.map((text) => byText.get(text));
    },
  };
}
