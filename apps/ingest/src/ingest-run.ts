import type { DocumentState, LedgerEvent } from "@millrace/ledger";
import type { PlannedDocument } from "./produce.ts";
import type { SkippedFile } from "./walk.ts";

/** States in which a document is done as far as one run is concerned. */
export type SettledState = Extract<DocumentState, "live" | "empty" | "failed" | "quarantined" | "deleted"> | "superseded";

export interface Settlement {
  readonly state: SettledState;
  readonly chunks: number;
  readonly tokens: number;
  /** Empty unless it failed. */
  readonly code: string;
  readonly message: string;
}

/** A document of the run that is done: what was to be done with it, and how it ended. */
export interface FinishedDocument extends Settlement {
  readonly source: string;
  readonly documentId: string;
  readonly outcome: PlannedDocument["outcome"];
  readonly contentHash: string;
}

export interface RunSummary {
  readonly added: number;
  readonly updated: number;
  readonly unchanged: number;
  readonly deleted: number;
  /** Of the deleted: those whose content is there under another name. */
  readonly renamed: number;
  readonly failed: number;
  readonly empty: number;
  readonly skipped: number;
  /** Of documents that became live in this run. */
  readonly chunks: number;
  readonly tokens: number;
  readonly seconds: number;
}

/** A document whose file is gone. */
export interface RemovedDocument {
  readonly source: string;
  readonly documentId: string;
  /** The new name of the file, where one with the same content came. */
  readonly renamedTo: string | undefined;
}

export interface RunListener {
  readonly onFinished: (document: FinishedDocument) => void;
  readonly onRemoved: (document: RemovedDocument) => void;
  readonly onWarning: (text: string) => void;
}

/**
 * What one `ingest` knows about its documents. Events of a document may come before the producer has said that it enqueued it, and again
 * after it was settled; both are kept harmless here, so that producer and follower need not know of each other.
 */
export class IngestRun {
  readonly ingestId: string;
  readonly filesTotal: number;
  readonly bytesTotal: number;
  readonly skipped: readonly SkippedFile[];
  readonly finished: FinishedDocument[] = [];
  readonly removed: RemovedDocument[] = [];
  /** What the producer waits for, while it does. */
  waitingFor = "";
  bytesDone = 0;
  /** When a document last moved, by the monotonic clock in milliseconds. */
  movedAt = performance.now();
  readonly #startedAt = performance.now();
  readonly #open = new Map<string, { planned: PlannedDocument; state: LedgerEvent["state"] }>();
  readonly #early = new Map<string, Settlement>();
  readonly #listener: RunListener;
  #allPlanned = false;

  constructor(ingestId: string, facts: { filesTotal: number; bytesTotal: number; skipped: readonly SkippedFile[] }, listener: RunListener) {
    this.ingestId = ingestId;
    this.filesTotal = facts.filesTotal;
    this.bytesTotal = facts.bytesTotal;
    this.skipped = facts.skipped;
    this.#listener = listener;
  }

  /** From the producer: enqueued, unchanged, or failed before the queue. */
  plan(planned: PlannedDocument): void {
    this.movedAt = performance.now();
    const { documentId, outcome, failure } = planned;
    const nothing = { chunks: 0, tokens: 0, code: "", message: "" };
    if (outcome === "failed") this.#finish(planned, { ...nothing, state: "failed", ...failure });
    else if (outcome === "unchanged") this.#finish(planned, { ...nothing, state: planned.empty === true ? "empty" : "live" });
    else {
      const early = this.#early.get(documentId);
      if (early === undefined) this.#open.set(documentId, { planned, state: "queued" });
      else this.#finish(planned, early);
    }
  }

  /** From the producer: nothing more comes. */
  endPlanning(): void {
    this.#allPlanned = true;
    this.#early.clear();
  }

  /** From the follower: a stage was entered, or a try failed and there will be another. */
  move(documentId: string, state: LedgerEvent["state"], message: string): void {
    this.movedAt = performance.now();
    const open = this.#open.get(documentId);
    if (open === undefined) return;
    if (state === "retrying" && open.state !== "retrying") this.warn(`${open.planned.source} will be tried again: ${message}`);
    open.state = state;
  }

  settle(documentId: string, settlement: Settlement): void {
    this.movedAt = performance.now();
    const open = this.#open.get(documentId);
    if (open !== undefined) {
      this.#open.delete(documentId);
      this.#finish(open.planned, settlement);
    } else if (!this.#allPlanned) {
      this.#early.set(documentId, settlement);
    }
  }

  /** A document was removed because its file is gone. */
  remove(document: RemovedDocument): void {
    this.removed.push(document);
    this.#listener.onRemoved(document);
  }

  warn(text: string): void {
    this.#listener.onWarning(text);
  }

  get complete(): boolean {
    return this.#allPlanned && this.#open.size === 0;
  }

  get openCount(): number {
    return this.#open.size;
  }

  openDocumentIds(): string[] {
    return [...this.#open.keys()];
  }

  /** How many open documents are in which state, for the reader of a warning. */
  openStates(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { state } of this.#open.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
    return counts;
  }

  get seconds(): number {
    return (performance.now() - this.#startedAt) / 1_000;
  }

  /** With `enqueued`, what is still open counts as done: nobody waits for it. */
  summary(options: { enqueued: boolean } = { enqueued: false }): RunSummary {
    const open = options.enqueued ? [...this.#open.values()].map(({ planned }) => planned.outcome) : [];
    const count = (matches: (document: FinishedDocument) => boolean): number => this.finished.filter(matches).length;
    const done = (outcome: FinishedDocument["outcome"]): number =>
      count((document) => document.outcome === outcome && !isFailure(document.state)) + open.filter((each) => each === outcome).length;
    const changed = this.finished.filter((document) => document.outcome !== "unchanged");
    return {
      added: done("added"),
      updated: done("updated"),
      unchanged: done("unchanged"),
      deleted: this.removed.length,
      renamed: this.removed.filter(({ renamedTo }) => renamedTo !== undefined).length,
      failed: count((document) => isFailure(document.state)),
      empty: count((document) => document.state === "empty"),
      skipped: this.skipped.length,
      chunks: changed.reduce((sum, document) => sum + document.chunks, 0),
      tokens: changed.reduce((sum, document) => sum + document.tokens, 0),
      seconds: Math.round(this.seconds * 100) / 100,
    };
  }

  #finish(planned: PlannedDocument, settlement: Settlement): void {
    this.bytesDone += planned.bytes;
    const { source, documentId, outcome, contentHash } = planned;
    const finished = { source, documentId, outcome, contentHash, ...settlement };
    this.finished.push(finished);
    this.#listener.onFinished(finished);
  }
}

export function isFailure(state: SettledState): boolean {
  return state === "failed" || state === "quarantined";
}
