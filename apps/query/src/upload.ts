import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Busboy } from "@fastify/busboy";
import {
  contentHashOf,
  InvalidInputError,
  isMillraceError,
  limits,
  type MediaType,
  type Metadata,
  mediaTypeOf,
  mediaTypeOfMime,
  parseMetadata,
} from "@millrace/core";
import type { FileBlobStore } from "@millrace/runtime";
import { Refusal } from "./problem.ts";
import { jsonOf } from "./request-body.ts";

/** A document as it arrived: its bytes are stored, what it is called and what it is are known. */
export interface Upload {
  readonly source: string;
  readonly mediaType: MediaType;
  readonly contentHash: string;
  readonly bytes: number;
  readonly metadata: Metadata;
  readonly ingestId: string | undefined;
}

export interface UploadDeps {
  readonly blobs: FileBlobStore;
  readonly documentBytesMax: number;
}

interface Fields {
  readonly source?: string | undefined;
  readonly mediaType?: string | undefined;
  readonly metadata?: unknown;
  readonly ingestId?: string | undefined;
}

const fieldBytesMax = 64 * 1024;

/**
 * Reads `multipart/form-data` with a `file` (streamed to the blob store, never whole in memory) or a JSON body with a `text`.
 * @throws Refusal 413 `document.too_large`, 415 `document.unsupported_type` | InvalidInputError `document.*`, `metadata.*`
 */
export async function readUpload(request: Request, deps: UploadDeps, signal: AbortSignal): Promise<Upload> {
  const contentType = request.headers.get("content-type") ?? "";
  if (contentType.startsWith("multipart/form-data")) return readMultipart(request, contentType, deps, signal);
  if (contentType.startsWith("application/json")) return readJson(request, deps, signal);
  throw new Refusal(415, "request.unsupported_type", "The body is neither multipart/form-data nor application/json");
}

async function readJson(request: Request, { blobs, documentBytesMax }: UploadDeps, signal: AbortSignal): Promise<Upload> {
  const body = await jsonOf(request);
  const {
    source,
    text,
    media_type: mediaType,
    metadata,
    ingest_id: ingestId,
  } = (typeof body === "object" ? body : {}) as Record<string, unknown>;
  if (typeof text !== "string")
    throw new InvalidInputError("document.missing", "The body has no `text`", { hint: 'Send {"text": "…", "source": "name.md"}.' });
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > documentBytesMax) throw tooLarge(documentBytesMax);
  const contentHash = contentHashOf(bytes);
  const fields = {
    source: textOrAbsent("source", source) ?? `${contentHash.slice(0, 16)}.md`,
    mediaType: textOrAbsent("media_type", mediaType),
  };
  const described = describe({ ...fields, metadata, ingestId: textOrAbsent("ingest_id", ingestId) });
  await blobs.put(contentHash, bytes, signal);
  return { ...described, contentHash, bytes: bytes.length };
}

async function readMultipart(request: Request, contentType: string, deps: UploadDeps, signal: AbortSignal): Promise<Upload> {
  const { blobs, documentBytesMax } = deps;
  if (request.body === null) throw new InvalidInputError("request.malformed", "The body is empty");
  const fields: Record<string, string> = {};
  let file: { name: string; type: string; stored: Promise<{ contentHash: string; bytes: number }> } | undefined;
  const form = new Busboy({
    headers: { "content-type": contentType },
    limits: { fileSize: documentBytesMax, files: 1, fields: 16, fieldSize: fieldBytesMax },
  });
  form.on("field", (name, value) => {
    fields[name] = value;
  });
  form.on("file", (field, stream, name, _encoding, type) => {
    if (field !== "file" || file !== undefined) return void stream.resume();
    let cut = false;
    stream.once("limit", () => {
      cut = true;
    });
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of stream) yield piece as Uint8Array;
      // Thrown before the blob has its name: what was written so far is removed.
      if (cut) throw tooLarge(documentBytesMax);
    };
    const stored = blobs.putStream(pieces(), signal);
    stored.catch(() => stream.resume()); // awaited below; the rest of the body is read and dropped
    file = { name, type, stored };
  });
  try {
    await pipeline(Readable.fromWeb(request.body as never), form, { signal });
  } catch (error) {
    await file?.stored.catch(() => undefined);
    if (isMillraceError(error) || error instanceof Refusal || signal.aborted) throw error;
    throw new InvalidInputError("request.malformed", "The body is not well-formed multipart/form-data", { cause: error });
  }
  if (file === undefined) throw new InvalidInputError("document.missing", "The form has no `file`");
  const { contentHash, bytes } = await file.stored;
  const { source = file.name, media_type: mediaType = file.type, metadata, ingest_id: ingestId } = fields;
  return {
    ...describe({ source, mediaType, metadata: metadata === undefined ? undefined : parseJson(metadata), ingestId }),
    contentHash,
    bytes,
  };
}

function describe({ source = "", mediaType, metadata, ingestId }: Fields): Pick<Upload, "source" | "mediaType" | "metadata" | "ingestId"> {
  const name = source.normalize("NFC");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (name === "" || Buffer.byteLength(name) > limits.sourceBytesMax || /[\u0000-\u001f\u007f]/.test(name) || /\p{Cs}/u.test(name)) {
    throw new InvalidInputError(
      "document.invalid_source",
      `A source is 1 to ${limits.sourceBytesMax} bytes of text without control characters`,
    );
  }
  if (ingestId !== undefined && !/^[A-Za-z0-9_-]{1,64}$/.test(ingestId)) {
    throw new InvalidInputError("document.invalid_ingest_id", "An ingest_id is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'");
  }
  const type = mediaTypeOf(name) ?? (mediaType === undefined ? undefined : mediaTypeOfMime(mediaType));
  if (type === undefined) {
    throw new Refusal(
      415,
      "document.unsupported_type",
      `There is no parser for "${name.slice(0, 200)}"`,
      "Give the source an extension that is known, or a media_type.",
    );
  }
  return { source: name, mediaType: type, metadata: metadata === undefined || metadata === null ? {} : parseMetadata(metadata), ingestId };
}

function textOrAbsent(name: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new InvalidInputError("request.malformed", `\`${name}\` is not text`);
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidInputError("metadata.invalid", "`metadata` is not JSON");
  }
}

function tooLarge(bytesMax: number): Refusal {
  return new Refusal(
    413,
    "document.too_large",
    `The document has more than ${bytesMax} bytes`,
    "The limit is MILLRACE_DOCUMENT_BYTES_MAX.",
  );
}
