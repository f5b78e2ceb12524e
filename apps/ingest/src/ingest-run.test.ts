import { expect, test } from "vitest";
import { type FinishedDocument, IngestRun } from "./ingest-run.ts";
import type { PlannedDocument } from "./produce.ts";
import { progressLine } from "./progress.ts";

const live = { state: "live", chunks: 3, tokens: 300, code: "", message: "" } as const;
const failed = { state: "failed", chunks: 0, tokens: 0, code: "parse.encrypted", message: "It is encrypted" } as const;

function planned(documentId: string, outcome: PlannedDocument["outcome"]): PlannedDocument {
  return { source: `${documentId}.md`, documentId, bytes: 100, contentHash: documentId, outcome };
}

function newRun(filesTotal = 4): { run: IngestRun; finished: FinishedDocument[]; warnings: string[] } {
  const finished: FinishedDocument[] = [];
  const warnings: string[] = [];
  const run = new IngestRun(
    "run",
    { filesTotal, bytesTotal: filesTotal * 100, skipped: [{ source: "a.png", reason: "unsupported_type" }] },
    { onFinished: (document) => void finished.push(document), onRemoved: () => undefined, onWarning: (text) => void warnings.push(text) },
  );
  return { run, finished, warnings };
}

test("is complete when all is planned and all that was enqueued has settled", () => {
  const { run, finished } = newRun();
  run.plan(planned("added", "added"));
  run.plan(planned("updated", "updated"));
  run.plan(planned("same", "unchanged"));
  run.plan({ ...planned("bad", "failed"), failure: { code: "file.unreadable", message: "no" } });
  run.endPlanning();
  expect(run.complete).toBe(false);
  run.settle("added", live);
  run.settle("updated", live);
  expect(run.complete).toBe(true);
  expect(finished.map(({ source, state }) => `${source} ${state}`)).toEqual([
    "same.md live",
    "bad.md failed",
    "added.md live",
    "updated.md live",
  ]);
  expect(run.summary()).toMatchObject({
    added: 1,
    updated: 1,
    unchanged: 1,
    failed: 1,
    deleted: 0,
    empty: 0,
    skipped: 1,
    chunks: 6,
    tokens: 600,
  });
});

test("an event that is faster than the producer counts, and a repeated one does not count twice", () => {
  const { run, finished } = newRun(1);
  run.settle("fast", live);
  expect(finished).toEqual([]);
  run.plan(planned("fast", "added"));
  run.settle("fast", live);
  run.endPlanning();
  run.settle("fast", failed);
  expect(run.complete).toBe(true);
  expect(run.summary()).toMatchObject({ added: 1, failed: 0, chunks: 3 });
});

test("what fails is counted as failed only, what is empty as added too", () => {
  const { run } = newRun();
  for (const name of ["a", "b", "c"]) run.plan(planned(name, "added"));
  run.endPlanning();
  run.settle("a", failed);
  run.settle("b", { ...failed, state: "quarantined" });
  run.settle("c", { ...live, state: "empty", chunks: 0, tokens: 0 });
  expect(run.summary()).toMatchObject({ added: 1, failed: 2, empty: 1, chunks: 0 });
});

test("warns once when a document is tried again", () => {
  const { run, warnings } = newRun();
  run.plan(planned("a", "added"));
  run.move("a", "retrying", "the store is away");
  run.move("a", "retrying", "the store is away");
  expect(warnings).toEqual(["a.md will be tried again: the store is away"]);
});

test("with --no-wait, what is on the queue counts as done", () => {
  const { run } = newRun();
  run.plan(planned("a", "added"));
  run.plan(planned("b", "updated"));
  run.endPlanning();
  expect(run.summary({ enqueued: true })).toMatchObject({ added: 1, updated: 1 });
});

test("progress tells documents, chunks and failures", () => {
  const { run } = newRun();
  run.plan(planned("a", "added"));
  run.plan(planned("b", "added"));
  run.settle("a", live);
  run.settle("b", failed);
  expect(progressLine(run, true)).toMatch(/^\[#{12}-{12}\] 2\/4 documents · 3 chunks · .* left · 1 failed$/);
});
