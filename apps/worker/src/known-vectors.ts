import { type Chunk, chunkIdOf, chunkIdsOf, limits, type RowVector, type VectorStore } from "@millrace/core";
import type { DocumentEntry, GenerationRef, Ledger } from "@millrace/ledger";

/**
 * Vectors that need not be computed again, found by the texts they were computed from: those of the version that is live, those of a document with the
 * same bytes (a renamed or copied file), and those that an earlier run of this very generation had written before it ended; all made by the same pipeline.
 */
export interface KnownVectors {
  /** @param chunks consecutive ones of a document with this title */
  find(title: string, chunks: readonly Chunk[], signal: AbortSignal): Promise<(Float32Array | undefined)[]>;
}

export async function openKnownVectors(
  ref: GenerationRef,
  entry: DocumentEntry,
  deps: { readonly ledger: Ledger; readonly store: VectorStore },
  signal: AbortSignal,
): Promise<KnownVectors> {
  const { ledger, store } = deps;
  const { project } = ref;
  const byTexts = new Map<string, Float32Array>();
  const read = async (chunkIds: readonly string[], readSignal: AbortSignal): Promise<void> => {
    for (const row of await store.vectors(project, chunkIds, readSignal)) byTexts.set(textsOf(row), row.vector);
  };
  if (!entry.fresh) {
    if (entry.liveGeneration !== undefined && entry.liveFingerprint === entry.fingerprint && entry.liveChunks <= limits.reusedChunksMax) {
      await read(chunkIdsOf(project, ref.documentId, entry.liveGeneration, entry.liveChunks), signal);
    }
    const twin =
      entry.twinId === undefined || entry.liveContentHash === entry.contentHash
        ? undefined
        : await ledger.twinOf(project, entry.twinId, entry.contentHash);
    if (twin !== undefined && twin.chunks <= limits.reusedChunksMax) {
      await read(chunkIdsOf(project, twin.documentId, twin.generation, twin.chunks), signal);
    }
  }
  return {
    async find(title, chunks, findSignal) {
      const [first] = chunks;
      if (first !== undefined && first.ordinal < entry.pendingChunks) {
        await read(
          chunks.map(({ ordinal }) => chunkIdOf(project, ref.documentId, ref.generation, ordinal)),
          findSignal,
        );
      }
      if (byTexts.size === 0) return chunks.map(() => undefined);
      return chunks.map(({ headings, text }) => byTexts.get(textsOf({ title, headings, text })));
    },
  };
}

/** What the same pipeline makes the same vector of. */
function textsOf({ title, headings, text }: Pick<RowVector, "title" | "headings" | "text">): string {
  return JSON.stringify([title, headings, text]);
}
