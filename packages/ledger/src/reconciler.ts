import { type BlobStore, chunkIdOf, chunkIdsOf, type ProjectName, type RowIdentity, type VectorStore } from "@millrace/core";
import { type DocumentEntry, type DocumentState, openStates } from "./document-entry.ts";
import type { GenerationRef, Ledger } from "./ledger.ts";

/**
 * Compares ledger, queue and vector store, and repairs what differs. The ledger is right by definition: jobs and rows are made to fit it. Everything
 * found is looked at once more before it counts, since documents change while a comparison runs.
 */
export interface ReconcilerDeps {
  readonly ledger: Ledger;
  readonly store: VectorStore;
  readonly blobs: Pick<BlobStore, "delete"> & {
    has(contentHash: string): Promise<boolean>;
    modifiedAt(contentHash: string): Promise<number | undefined>;
    list(): AsyncIterable<{ readonly contentHash: string; readonly modifiedAt: number }>;
  };
  readonly queue: {
    missing(jobs: readonly DocumentReference[]): Promise<DocumentReference[]>;
    addDocuments(project: ProjectName, jobs: readonly DocumentReference[], urgency: "bulk"): Promise<void>;
    openJobs(): AsyncIterable<readonly DocumentReference[]>;
    remove(job: DocumentReference): Promise<void>;
  };
}

/** What a job says. */
export type DocumentReference = GenerationRef & { readonly version: 1; readonly traceparent?: string | undefined };

export type FindingKind =
  /** A document waits, and no job is going to process it. */
  | "job_missing"
  /** A job whose document is gone or has moved on. */
  | "job_stale"
  /** The live generation lacks rows. */
  | "rows_missing"
  /** Rows of a generation that nothing refers to. */
  | "rows_stale"
  /** Rows that claim a place in the live generation which another row has, or which it does not have. */
  | "rows_doubled"
  /** Rows of a document that the ledger does not know. */
  | "rows_unknown"
  /** A live chunk that a search for its own vector does not return. */
  | "row_unfindable"
  /** The source bytes of a document are gone. */
  | "blob_missing"
  /** Bytes that no document refers to. */
  | "blob_orphaned";

export interface Finding {
  readonly kind: FindingKind;
  readonly project: ProjectName | undefined;
  readonly documentId: string;
  readonly source: string;
  /** Rows, jobs or blobs concerned. */
  readonly count: number;
  /** Keys of rows to be removed, or hashes of blobs. */
  readonly keys: readonly string[];
  readonly job?: DocumentReference;
}

export interface RedriveCursor {
  readonly state: DocumentState;
  readonly cursor: string | undefined;
}

const documentsPerPage = 250;
/** A blob younger than this may belong to a document that is just being planned. */
const blobAgeMsMin = 3_600_000;
const repairIngestId = "repair";

export class Reconciler {
  readonly #deps: ReconcilerDeps;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  /**
   * Gives pending documents that have no job a new one.
   * @param options.max documents looked at; `next` tells where to go on when there are more
   */
  async redrive(
    project: ProjectName,
    options: { max?: number; from?: RedriveCursor | undefined } = {},
  ): Promise<{ redriven: number; next: RedriveCursor | undefined }> {
    const { queue } = this.#deps;
    const { max = Number.POSITIVE_INFINITY, from } = options;
    let redriven = 0;
    let looked = 0;
    for await (const { entries, next } of this.#openDocuments(project, from)) {
      const missing = await queue.missing(referencesOf(project, entries));
      await queue.addDocuments(project, missing, "bulk");
      redriven += missing.length;
      looked += entries.length;
      if (looked >= max) return { redriven, next };
    }
    return { redriven, next: undefined };
  }

  /** Everything in one project that is not as the ledger says. Costs a pass over the whole collection. */
  async audit(project: ProjectName, signal: AbortSignal): Promise<Finding[]> {
    const findings = [...(await this.#auditJobs(project)), ...(await this.#auditRows(project, signal))];
    return findings.sort((a, b) => (a.source < b.source ? -1 : 1));
  }

  /** Jobs that nothing waits for. Of all projects. */
  async auditQueue(): Promise<Finding[]> {
    const { ledger, queue } = this.#deps;
    const findings: Finding[] = [];
    for await (const jobs of queue.openJobs()) {
      for (const [project, own] of groupBy(jobs, (job) => job.project)) {
        const entries = await ledger.getMany(
          project,
          own.map((job) => job.documentId),
        );
        for (const [index, job] of own.entries()) {
          const entry = entries[index];
          if (entry?.pendingGeneration === job.generation) continue;
          findings.push({ kind: "job_stale", project, documentId: job.documentId, source: entry?.source ?? "", count: 1, keys: [], job });
        }
      }
    }
    return findings;
  }

  /** Blobs that no document of any project refers to. */
  async auditBlobs(): Promise<Finding[]> {
    const { ledger, blobs } = this.#deps;
    const referenced = new Set<string>();
    for (const project of await ledger.projects()) {
      for await (const entries of this.#documents(project)) {
        for (const { contentHash, liveContentHash } of entries) referenced.add(contentHash).add(liveContentHash);
      }
    }
    const orphans: string[] = [];
    for await (const { contentHash, modifiedAt } of blobs.list()) {
      if (!referenced.has(contentHash) && Date.now() - modifiedAt > blobAgeMsMin) orphans.push(contentHash);
    }
    if (orphans.length === 0) return [];
    return [{ kind: "blob_orphaned", project: undefined, documentId: "", source: "", count: orphans.length, keys: orphans }];
  }

  /** Live chunks, at most `samples` of the project taken evenly, that a search for their own vector does not return. */
  async auditSearch(project: ProjectName, samples: number, signal: AbortSignal): Promise<{ checked: number; findings: Finding[] }> {
    const { ledger } = this.#deps;
    const chunkTotal = await this.#liveChunks(project);
    const step = Math.max(1, chunkTotal / samples);
    const findings: Finding[] = [];
    let checked = 0;
    let position = 0;
    let next = step / 2;
    for await (const entries of this.#documents(project)) {
      for (const entry of entries) {
        const { liveGeneration, liveChunks, documentId } = entry;
        const chosen: string[] = [];
        for (; next < position + liveChunks; next += step) {
          chosen.push(chunkIdOf(project, documentId, liveGeneration ?? "", Math.floor(next - position)));
        }
        position += liveChunks;
        if (liveGeneration === undefined || chosen.length === 0) continue;
        checked += chosen.length;
        const lost = await this.#unfindable(project, chosen, signal);
        if (lost.length === 0 || (await ledger.get(project, documentId))?.liveGeneration !== liveGeneration) continue;
        findings.push({ kind: "row_unfindable", project, documentId, source: entry.source, count: lost.length, keys: lost });
      }
    }
    return { checked, findings };
  }

  /** @returns how many of the findings were repaired; those that cannot be are left: `blob_missing` */
  async repair(findings: readonly Finding[], signal: AbortSignal): Promise<number> {
    const { store, queue } = this.#deps;
    let repaired = 0;
    const again = new Map<string, Finding>();
    for (const finding of findings) {
      signal.throwIfAborted();
      if (finding.kind === "blob_orphaned") {
        await this.#deleteOrphans(finding.keys, signal);
        repaired++;
      }
      const { project } = finding;
      if (project === undefined) continue;
      switch (finding.kind) {
        case "job_missing":
          if (finding.job !== undefined) await queue.addDocuments(project, [finding.job], "bulk");
          break;
        case "job_stale":
          if (finding.job !== undefined) await queue.remove(finding.job);
          break;
        case "rows_stale":
        case "rows_doubled":
        case "rows_unknown":
          await store.delete(project, finding.keys, signal);
          break;
        case "rows_missing":
        case "row_unfindable":
          again.set(finding.documentId, finding);
          continue;
        default:
          continue;
      }
      repaired++;
    }
    for (const { project, documentId } of again.values())
      if (project !== undefined && (await this.#processAgain(project, documentId))) repaired++;
    return repaired;
  }

  /** Only what is still old: an ingest that comes upon a blob makes it young before it refers to it. */
  async #deleteOrphans(contentHashes: readonly string[], signal: AbortSignal): Promise<void> {
    const { blobs } = this.#deps;
    for (const contentHash of contentHashes) {
      const modifiedAt = await blobs.modifiedAt(contentHash);
      if (modifiedAt !== undefined && Date.now() - modifiedAt > blobAgeMsMin) await blobs.delete(contentHash, signal);
    }
  }

  /** A new generation of the same bytes. The one that lacks rows answers until it is complete. */
  async #processAgain(project: ProjectName, documentId: string): Promise<boolean> {
    const { ledger, blobs, queue } = this.#deps;
    const entry = await ledger.get(project, documentId);
    if (entry?.liveGeneration === undefined || entry.mediaType === undefined) return false;
    if (entry.pendingGeneration !== undefined) return true; // a newer one is on its way
    const { source, liveContentHash: contentHash, fingerprint, mediaType, bytes, origin, givenMetadata: metadata } = entry;
    if (!(await blobs.has(contentHash))) return false;
    const request = {
      project,
      source,
      contentHash,
      fingerprint,
      mediaType,
      bytes,
      origin,
      metadata,
      ingestId: repairIngestId,
      force: true,
    };
    const { generation } = await ledger.plan(request);
    await queue.addDocuments(project, [{ version: 1, project, documentId, generation }], "bulk");
    return true;
  }

  async #auditJobs(project: ProjectName): Promise<Finding[]> {
    const { queue, blobs } = this.#deps;
    const findings: Finding[] = [];
    for await (const { entries } of this.#openDocuments(project, undefined)) {
      const bySource = new Map(entries.map((entry) => [entry.documentId, entry]));
      for (const job of await queue.missing(referencesOf(project, entries))) {
        const source = bySource.get(job.documentId)?.source ?? "";
        findings.push({ kind: "job_missing", project, documentId: job.documentId, source, count: 1, keys: [], job });
      }
      for (const { documentId, source, contentHash } of entries) {
        if (await blobs.has(contentHash)) continue;
        findings.push({ kind: "blob_missing", project, documentId, source, count: 1, keys: [contentHash] });
      }
    }
    return findings;
  }

  async #auditRows(project: ProjectName, signal: AbortSignal): Promise<Finding[]> {
    const { ledger, store } = this.#deps;
    const known = new Map<string, DocumentEntry>();
    for await (const entries of this.#documents(project)) for (const entry of entries) known.set(entry.documentId, entry);
    const seen = new Map<string, number>();
    const suspects = new Map<string, { kind: FindingKind; documentId: string; generation: string; keys: string[] }>();
    for await (const rows of store.scan(project, signal)) {
      for (const row of rows) {
        const kind = this.#rowKind(project, row, known.get(row.documentId));
        if (kind === undefined) seen.set(row.documentId, (seen.get(row.documentId) ?? 0) + 1);
        else if (kind !== "pending") {
          const name = `${kind} ${row.documentId} ${row.generation}`;
          const suspect = suspects.get(name) ?? { kind, documentId: row.documentId, generation: row.generation, keys: [] };
          suspect.keys.push(row.chunkId);
          suspects.set(name, suspect);
        }
      }
    }
    const findings: Finding[] = [];
    for (const { kind, documentId, generation, keys } of suspects.values()) {
      const entry = await ledger.get(project, documentId);
      const generations = [entry?.liveGeneration, entry?.pendingGeneration];
      // Live or pending by now, or on the list of what is going to be collected.
      if (kind !== "rows_doubled" && generations.includes(generation)) continue;
      if (await ledger.isGarbage({ project, documentId, generation })) continue;
      if (kind === "rows_doubled" && entry?.liveGeneration !== generation) continue;
      findings.push({ kind, project, documentId, source: entry?.source ?? "", count: keys.length, keys });
    }
    for (const { documentId, liveGeneration, liveChunks } of known.values()) {
      if (liveGeneration === undefined || (seen.get(documentId) ?? 0) >= liveChunks) continue;
      const entry = await ledger.get(project, documentId);
      if (entry?.liveGeneration !== liveGeneration) continue;
      const expected = chunkIdsOf(project, documentId, liveGeneration, liveChunks);
      const existing = await store.existing(project, expected, signal);
      if (existing.size === expected.length) continue;
      const keys = expected.filter((chunkId) => !existing.has(chunkId));
      findings.push({ kind: "rows_missing", project, documentId, source: entry.source, count: keys.length, keys });
    }
    return findings;
  }

  /** Undefined for a row that is as it should be. */
  #rowKind(project: ProjectName, row: RowIdentity, entry: DocumentEntry | undefined): FindingKind | "pending" | undefined {
    if (entry === undefined) return "rows_unknown";
    const { documentId, generation, ordinal, chunkId } = row;
    if (generation === entry.pendingGeneration) return "pending";
    if (generation !== entry.liveGeneration) return "rows_stale";
    return chunkId === chunkIdOf(project, documentId, generation, ordinal) && ordinal < entry.liveChunks ? undefined : "rows_doubled";
  }

  async #unfindable(project: ProjectName, chunkIds: readonly string[], signal: AbortSignal): Promise<string[]> {
    const { store } = this.#deps;
    const lost: string[] = [];
    for (const { chunkId, vector } of await store.vectors(project, chunkIds, signal)) {
      let found = false;
      // Texts that occur many times have many equally near rows: then more are asked for.
      for (const limit of [10, 1_000]) {
        const hits = await store.search({ project, vector, limit }, signal);
        found = hits.some((hit) => hit.chunkId === chunkId);
        if (found || hits.length < limit || (hits.at(-1)?.score ?? 0) < 0.9999) break;
      }
      if (!found) lost.push(chunkId);
    }
    return lost;
  }

  async #liveChunks(project: ProjectName): Promise<number> {
    let count = 0;
    for await (const entries of this.#documents(project)) for (const entry of entries) count += entry.liveChunks;
    return count;
  }

  async *#documents(project: ProjectName): AsyncGenerator<DocumentEntry[]> {
    let cursor: string | undefined;
    do {
      const page = await this.#deps.ledger.list({ project, limit: documentsPerPage, ...(cursor === undefined ? {} : { cursor }) });
      yield page.entries;
      cursor = page.next;
    } while (cursor !== undefined);
  }

  async *#openDocuments(
    project: ProjectName,
    from: RedriveCursor | undefined,
  ): AsyncGenerator<{ entries: DocumentEntry[]; next: RedriveCursor | undefined }> {
    const first = from === undefined ? 0 : openStates.indexOf(from.state);
    for (const [index, state] of openStates.entries()) {
      if (index < first) continue;
      let cursor = index === first ? from?.cursor : undefined;
      do {
        const page = await this.#deps.ledger.list({ project, state, limit: documentsPerPage, ...(cursor === undefined ? {} : { cursor }) });
        cursor = page.next;
        const following = openStates[index + 1];
        const next =
          cursor !== undefined ? { state, cursor } : following === undefined ? undefined : { state: following, cursor: undefined };
        if (page.entries.length > 0) yield { entries: page.entries, next };
      } while (cursor !== undefined);
    }
  }
}

function referencesOf(project: ProjectName, entries: readonly DocumentEntry[]): DocumentReference[] {
  return entries.flatMap(({ documentId, pendingGeneration: generation }) =>
    generation === undefined ? [] : [{ version: 1 as const, project, documentId, generation }],
  );
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
