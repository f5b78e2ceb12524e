import { limits } from "./limits.ts";

/** Documents that wait or are being processed, with their source bytes. */
export interface PendingLoad {
  readonly documents: number;
  readonly bytes: number;
}

/** What the queue holds, in bytes: sources and, so that many small documents count too, what each costs by itself. */
export function queuedBytes({ documents, bytes }: PendingLoad): number {
  return bytes + documents * limits.queueBytesPerDocument;
}
