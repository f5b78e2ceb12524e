import { extname } from "node:path";
import { type IngestRun, isFailure, type RunSummary } from "./ingest-run.ts";
import { durationText, print, printable } from "./terminal.ts";

const namesMax = 50;

/** What a person wants to know at the end: how much, what failed and why, and what was left out. */
export function printSummary(run: IngestRun, summary: RunSummary, { project, waited }: { project: string; waited: boolean }): void {
  const { added, updated, unchanged, deleted, renamed, failed, empty, skipped, chunks, tokens, seconds } = summary;
  const counts = [`${added} added`, `${updated} updated`, `${unchanged} unchanged`, `${failed} failed`];
  if (deleted > 0) counts.push(`${deleted} deleted${renamed > 0 ? ` (${renamed} of them renamed)` : ""}`);
  if (empty > 0) counts.push(`${empty} without text`);
  if (skipped > 0) counts.push(`${skipped} skipped`);
  print(`${project}: ${counts.join(", ")}`);
  if (!waited && added + updated > 0) print("They are on the queue; `millrace jobs list` shows what is still to be done.");
  if (chunks > 0) {
    const rate = `${Math.round(chunks / seconds)} chunks/s, ${Math.round(tokens / seconds)} tokens/s`;
    print(`${chunks} chunks, ${tokens} tokens in ${durationText(seconds)} (${rate})`);
  }
  if (run.filesTotal === 0) print("There is no document here.");

  const failures = run.finished.filter((document) => isFailure(document.state));
  printNames(
    "Failed:",
    failures.map(({ source, message, code }) => `${printable(source)}: ${printable(message)} [${code}]`),
  );
  const changed = run.finished.filter(({ outcome }) => outcome !== "unchanged");
  const others = changed.filter(({ state }) => state === "empty" || state === "superseded" || state === "deleted");
  printNames(
    "Without text, or overtaken:",
    others.map(({ source, state }) => `${printable(source)}: ${state}`),
  );
  printNames(
    "Deleted:",
    run.removed.map(({ source, renamedTo }) => printable(source) + (renamedTo === undefined ? "" : `, now ${printable(renamedTo)}`)),
  );
  printNames(
    "Skipped:",
    [...skippedByReason(run)].map(([reason, count]) => `${count} ${reason}`),
  );
}

function printNames(title: string, lines: readonly string[]): void {
  if (lines.length === 0) return;
  print(title);
  for (const line of lines.slice(0, namesMax)) print(`  ${line}`);
  if (lines.length > namesMax) print(`  … and ${lines.length - namesMax} more (--json tells all)`);
}

/** Files of unknown type by their extension, since that is what one can do something about. */
function skippedByReason(run: IngestRun): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { source, reason } of run.skipped) {
    const key =
      reason === "unsupported_type" ? `unsupported type ${printable(extname(source)) || "without extension"}` : reason.replaceAll("_", " ");
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return new Map([...counts].sort((a, b) => b[1] - a[1]));
}
