import type { IngestRun } from "./ingest-run.ts";
import { durationText } from "./terminal.ts";

const plainLineMs = 5_000;
const barWidth = 24;

/** Shows how far a run is: a line that is rewritten on a terminal, a new one every few seconds elsewhere. On stderr. */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #shown = false;
  #plainAt = performance.now();

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  show(run: IngestRun): void {
    if (this.#stream.isTTY) {
      const columns = this.#stream.columns ?? 80;
      this.#stream.write(`\r\x1b[2K${progressLine(run, true).slice(0, columns - 1)}`);
      this.#shown = true;
    } else if (performance.now() - this.#plainAt >= plainLineMs) {
      this.#plainAt = performance.now();
      this.#stream.write(`${progressLine(run, false)}\n`);
    }
  }

  /** A line of its own, above the one that is rewritten. */
  note(text: string): void {
    this.clear();
    this.#stream.write(`${text}\n`);
  }

  clear(): void {
    if (this.#shown) this.#stream.write("\r\x1b[2K");
    this.#shown = false;
  }
}

export function progressLine(run: IngestRun, withBar: boolean): string {
  const { failed, chunks, tokens, unchanged } = run.summary();
  const done = run.finished.length;
  const share = run.bytesTotal === 0 ? 1 : run.bytesDone / run.bytesTotal;
  const filled = Math.round(Math.min(share, 1) * barWidth);
  const rate = (count: number): number => Math.round(count / Math.max(run.seconds, 0.1));
  const parts = [
    `${withBar ? `[${"#".repeat(filled)}${"-".repeat(barWidth - filled)}] ` : ""}${done}/${run.filesTotal} documents`,
    `${chunks} chunks`,
    `${rate(chunks)} chunks/s, ${rate(tokens)} tokens/s`,
  ];
  // Bytes tell the time left better than documents, whose sizes differ widely; unchanged ones cost next to nothing and would flatter it.
  if (done > unchanged && share > 0 && share < 1) parts.push(`${durationText((run.seconds * (1 - share)) / share)} left`);
  if (failed > 0) parts.push(`${failed} failed`);
  return parts.join(" · ");
}
