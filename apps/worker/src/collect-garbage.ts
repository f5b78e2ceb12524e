import { chunkIdsOf, type ProjectName, type VectorStore } from "@millrace/core";
import type { Ledger } from "@millrace/ledger";

const entriesPerRead = 100;

/**
 * Deletes the rows of generations that nothing refers to any more: replaced, deleted or abandoned ones, as the ledger lists them. No generation
 * comes back (each has a sequence number in it), so the deletion can never meet a live one, and doing it twice is harmless.
 * @returns how many generations were collected
 */
export async function collectGarbage(
  project: ProjectName,
  deps: { ledger: Ledger; store: VectorStore },
  signal: AbortSignal,
): Promise<number> {
  let collected = 0;
  for (;;) {
    const entries = await deps.ledger.garbage(project, entriesPerRead);
    if (entries.length === 0) return collected;
    for (const entry of entries) {
      signal.throwIfAborted();
      await deps.store.delete(project, chunkIdsOf(project, entry.documentId, entry.generation, entry.chunks), signal);
      await deps.ledger.dropGarbage(entry);
      collected++;
    }
  }
}
