import { createHash } from "node:crypto";
import { constants, type FileHandle, open } from "node:fs/promises";
import { contentHashOf, DocumentError, errorMessage, isMillraceError } from "@millrace/core";
import type { FileBlobStore } from "@millrace/runtime";
import { bytesText } from "./terminal.ts";

const inMemoryBytesMax = 32 * 1024 * 1024;

/**
 * Hashes a file and makes sure that its bytes are in the blob store under that hash. The hash always belongs to the very bytes stored, also
 * when the file changes meanwhile: a small file is read once; a large one is hashed first, since most are stored already, and otherwise
 * named by what was copied.
 * @throws DocumentError `file.unreadable` | `file.too_large` | DependencyError `blob.unavailable`
 */
export async function storeFile(
  path: string,
  blobs: FileBlobStore,
  documentBytesMax: number,
  signal: AbortSignal,
): Promise<{ contentHash: string; bytes: number }> {
  const file = await openFile(path);
  try {
    const { size } = await statOf(file);
    if (size > documentBytesMax) {
      throw new DocumentError("file.too_large", tooLargeMessage(size, documentBytesMax));
    }
    if (size <= inMemoryBytesMax) {
      const bytes = await readable(file.readFile());
      const contentHash = contentHashOf(bytes);
      await blobs.put(contentHash, bytes, signal);
      return { contentHash, bytes: bytes.byteLength };
    }
    const hash = createHash("sha256");
    for await (const piece of piecesOf(file, signal)) hash.update(piece);
    const contentHash = hash.digest("hex");
    return (await blobs.renew(contentHash)) ? { contentHash, bytes: size } : await blobs.putStream(piecesOf(file, signal), signal);
  } finally {
    await file.close();
  }
}

export function tooLargeMessage(bytes: number, bytesMax: number): string {
  return `The file has ${bytesText(bytes)}, ${bytesText(bytesMax)} are the most (MILLRACE_DOCUMENT_BYTES_MAX)`;
}

async function openFile(path: string): Promise<FileHandle> {
  // The walk saw a regular file; should a pipe have taken its place, an open without this flag would wait for a writer.
  return readable(open(path, constants.O_RDONLY | constants.O_NONBLOCK));
}

async function statOf(file: FileHandle): Promise<{ size: number }> {
  const stats = await readable(file.stat());
  if (!stats.isFile()) throw new DocumentError("file.unreadable", "This is not a regular file any more");
  return stats;
}

async function* piecesOf(file: FileHandle, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(1024 * 1024);
  for (let position = 0; ; ) {
    signal.throwIfAborted();
    const { bytesRead } = await readable(file.read(buffer, 0, buffer.byteLength, position));
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function readable<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    if (isMillraceError(error)) throw error;
    throw new DocumentError("file.unreadable", errorMessage(error), { cause: error });
  }
}
