import { sep } from "node:path";
import { InvalidInputError, type ProjectName } from "@millrace/core";
import type { DocumentEntry, Ledger } from "@millrace/ledger";
import type { Producer } from "@millrace/queue";
import { listDocuments } from "./document-lookup.ts";
import type { IngestRun } from "./ingest-run.ts";
import type { WalkResult } from "./walk.ts";

/** Removing more than this share of a project, and more documents than this, needs a yes: a folder that is not mounted looks empty. */
const shareMax = 0.2;
const documentsUnasked = 10;

/** Documents that were read from below the walked folders and are not found there any more. What cannot be looked into is not gone. */
export async function findRemoved(ledger: Ledger, project: ProjectName, found: WalkResult): Promise<DocumentEntry[]> {
  const present = new Set([...found.files, ...found.failed].map((file) => file.source));
  const unreadable = found.failed.map((file) => file.origin);
  const removed: DocumentEntry[] = [];
  for await (const entry of listDocuments(ledger, project, {})) {
    if (present.has(entry.source) || !found.folders.some((folder) => isBelow(folder, entry.origin))) continue;
    if (unreadable.some((path) => path === entry.origin || isBelow(path, entry.origin))) continue;
    removed.push(entry);
  }
  return removed;
}

/**
 * @param confirm asks the person at the terminal; undefined where there is nobody to ask
 * @throws InvalidInputError `prune.unconfirmed`
 */
export async function confirmRemoval(
  ledger: Ledger,
  project: ProjectName,
  removed: readonly DocumentEntry[],
  confirm: ((question: string) => Promise<boolean>) | undefined,
): Promise<void> {
  if (removed.length <= documentsUnasked) return;
  const counts = await ledger.countByState(project);
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0) - counts.deleted;
  if (removed.length <= total * shareMax) return;
  const what = `${removed.length} of the ${total} documents of ${project} are not below the folder any more`;
  if (confirm !== undefined && (await confirm(`${what}. Delete them?`))) return;
  throw new InvalidInputError("prune.unconfirmed", `${what}; none was deleted`, {
    hint: "Is the folder mounted and the right one? --yes deletes them without asking.",
  });
}

/** Deletes them, and says of which the content is there under another name. */
export async function remove(
  removed: readonly DocumentEntry[],
  run: IngestRun,
  project: ProjectName,
  { ledger, producer }: { readonly ledger: Ledger; readonly producer: Producer },
): Promise<void> {
  const added = new Map(run.finished.filter(({ outcome }) => outcome === "added").map(({ contentHash, source }) => [contentHash, source]));
  for (const { documentId, source, contentHash } of removed) {
    if (await ledger.remove(project, documentId)) run.remove({ documentId, source, renamedTo: added.get(contentHash) });
  }
  if (removed.length > 0) await producer.addCollection(project);
}

function isBelow(folder: string, path: string): boolean {
  return path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
