import { documentIdOf, type ProjectName } from "@millrace/core";
import type { DocumentEntry, DocumentState, Ledger } from "@millrace/ledger";

/** A document by its id or its source; undefined when there is none, or it was deleted. */
export async function findDocument(ledger: Ledger, project: ProjectName, name: string): Promise<DocumentEntry | undefined> {
  const byId = /^[0-9a-f]{32}$/.test(name) ? await ledger.get(project, name) : undefined;
  const entry = byId ?? (await ledger.get(project, documentIdOf(project, name.normalize("NFC"))));
  return entry?.state === "deleted" ? undefined : entry;
}

const pageSize = 500;

/** All documents in a state or with a source that begins so, page by page. */
export async function* listDocuments(
  ledger: Ledger,
  project: ProjectName,
  only: { readonly state?: DocumentState; readonly sourcePrefix?: string },
): AsyncGenerator<DocumentEntry> {
  let cursor: string | undefined;
  do {
    const page = await ledger.list({ project, limit: pageSize, ...only, ...(cursor === undefined ? {} : { cursor }) });
    yield* page.entries;
    cursor = page.next;
  } while (cursor !== undefined);
}
