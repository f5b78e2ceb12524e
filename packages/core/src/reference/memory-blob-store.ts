import { DocumentError } from "../errors.ts";
import type { BlobStore } from "../ports.ts";

/** The reference implementation of the port: what a blob store does, without durability. */
export class MemoryBlobStore implements BlobStore {
  readonly #blobs = new Map<string, Uint8Array>();

  async put(contentHash: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#blobs.has(contentHash)) this.#blobs.set(contentHash, bytes.slice());
  }

  async get(contentHash: string, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    const bytes = this.#blobs.get(contentHash);
    if (bytes === undefined) throw new DocumentError("blob.missing", `There are no stored bytes for ${contentHash}`);
    return bytes.slice();
  }

  async delete(contentHash: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#blobs.delete(contentHash);
  }
}
