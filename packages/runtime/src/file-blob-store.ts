import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type BlobStore, DependencyError, DocumentError, errorMessage } from "@millrace/core";

/**
 * The source bytes in a folder, `ab/cdef…` by the sha256 of the content. A blob is written under a temporary name, synced, and then renamed:
 * whatever has the final name is complete, also after a power cut, so that a name which exists need not be written again.
 */
export class FileBlobStore implements BlobStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws DependencyError `blob.unavailable` when the folder cannot be written, as on a full disk */
  async put(contentHash: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const path = this.pathOf(contentHash);
    if (await this.renew(contentHash)) return;
    await this.#write(async (file) => {
      await orUnavailable(file.writeFile(bytes));
      return path;
    });
  }

  /**
   * Stores a file that is too large for memory. The hash is taken from the very bytes that are written, so that a file which changes
   * meanwhile is still stored under its true name.
   * @throws DependencyError `blob.unavailable`; what `source` throws
   */
  async putStream(source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<{ contentHash: string; bytes: number }> {
    const hash = createHash("sha256");
    let bytes = 0;
    let contentHash = "";
    await this.#write(async (file) => {
      for await (const piece of source) {
        signal.throwIfAborted();
        hash.update(piece);
        bytes += piece.byteLength;
        await orUnavailable(file.writeFile(piece));
      }
      contentHash = hash.digest("hex");
      return this.pathOf(contentHash);
    });
    return { contentHash, bytes };
  }

  async get(contentHash: string, signal: AbortSignal): Promise<Uint8Array> {
    const path = this.pathOf(contentHash);
    try {
      return await readFile(path, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (isMissing(error)) {
        throw new DocumentError("blob.missing", `There are no stored bytes for ${contentHash}`, { hint: "Ingest the document again." });
      }
      throw unavailable(error);
    }
  }

  async delete(contentHash: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await rm(this.pathOf(contentHash), { force: true });
  }

  has(contentHash: string): Promise<boolean> {
    return exists(this.pathOf(contentHash));
  }

  /** Whether it is there; if so it counts as put now, which keeps it from being collected as an orphan before a document refers to it. */
  async renew(contentHash: string): Promise<boolean> {
    const now = new Date();
    try {
      await utimes(this.pathOf(contentHash), now, now);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw unavailable(error);
    }
  }

  /** When it was last put, in milliseconds since the epoch; undefined when it is not there. */
  async modifiedAt(contentHash: string): Promise<number | undefined> {
    return (await stat(this.pathOf(contentHash)).catch(() => undefined))?.mtimeMs;
  }

  /** Every blob, with the time it was written in milliseconds since the epoch. */
  async *list(): AsyncGenerator<{ contentHash: string; modifiedAt: number }> {
    for (const prefix of await orUnavailable(namesIn(this.#folder))) {
      if (!/^[0-9a-f]{2}$/.test(prefix)) continue;
      for (const name of await orUnavailable(namesIn(join(this.#folder, prefix)))) {
        const stats = await stat(join(this.#folder, prefix, name)).catch(() => undefined); // deleted meanwhile
        if (stats !== undefined) yield { contentHash: prefix + name, modifiedAt: stats.mtimeMs };
      }
    }
  }

  /** Where the blob lies, for a reader that takes a file rather than bytes. */
  pathOf(contentHash: string): string {
    // A hash comes from a job or the ledger; nothing else may become a path.
    if (!/^[0-9a-f]{64}$/.test(contentHash)) throw new DocumentError("blob.missing", `"${contentHash.slice(0, 80)}" is not a content hash`);
    return join(this.#folder, contentHash.slice(0, 2), contentHash.slice(2));
  }

  /** Gives the file its final name, which `fill` answers with, once its bytes are on the disk. What `fill` throws is thrown on. */
  async #write(fill: (file: FileHandle) => Promise<string>): Promise<void> {
    const temporary = join(this.#folder, "tmp", randomUUID());
    const file = await orUnavailable(inFolder(dirname(temporary), () => open(temporary, "wx", 0o600)));
    try {
      let path: string;
      try {
        path = await fill(file);
        await orUnavailable(file.sync());
      } finally {
        await file.close();
      }
      await orUnavailable(inFolder(dirname(path), () => rename(temporary, path)));
      await orUnavailable(syncFolder(dirname(path)));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw unavailable(error);
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Makes the folder where what is to be done there finds none, which is so for the first files only. */
async function inFolder<T>(folder: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (!isMissing(error)) throw error;
    await mkdir(folder, { recursive: true });
    return operation();
  }
}

/** A rename is durable only when the folder that holds the name is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

async function orUnavailable<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    throw unavailable(error);
  }
}

function unavailable(error: unknown): DependencyError {
  return new DependencyError("blob.unavailable", `The blob folder failed: ${errorMessage(error)}`, {
    cause: error,
    hint: "Is the disk full, or MILLRACE_HOME not writable?",
  });
}
