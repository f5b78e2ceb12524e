import { joinedTermsOf } from "./analysis.ts";
import { linesAbove } from "./chunk-header.ts";
import type { ChunkRecord, Metadata, MetadataValue } from "./document.ts";
import { dot } from "./dot.ts";
import { DocumentError, InvalidInputError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { StoredHit } from "./ports.ts";

/** What a store keeps of a chunk record besides its vector, and gives back with a score. */
export type StoredChunk = Omit<StoredHit, "score">;

/**
 * The form in which every store keeps a record, so that all of them give back the same: strings are well-formed Unicode (a
 * lone surrogate becomes U+FFFD; it has no UTF-8 form, and one of them fails a whole write), the title and headings are cut
 * to `titleCharsMax`. What carries identity or meaning is never cut, it is refused.
 * @throws DocumentError `store.text_too_long`, `store.source_too_long`, `store.metadata_too_large`, `store.metadata_invalid`
 */
export function toStoredChunk(record: ChunkRecord): StoredChunk {
  const { chunk } = record;
  const text = wellFormed(chunk.text);
  const source = wellFormed(record.source);
  if (utf8Bytes(text) > limits.chunkBytesMax) {
    throw new DocumentError("store.text_too_long", `Chunk ${chunk.ordinal} has more than ${limits.chunkBytesMax} bytes of text`);
  }
  if (utf8Bytes(source) > limits.sourceBytesMax) {
    throw new DocumentError("store.source_too_long", `The source name has more than ${limits.sourceBytesMax} bytes`);
  }
  return {
    chunkId: record.chunkId,
    project: record.project,
    documentId: record.documentId,
    generation: record.generation,
    source,
    mediaType: record.mediaType,
    title: cut(wellFormed(record.title)),
    ingestedAt: record.ingestedAt,
    metadata: toStoredMetadata(record.metadata),
    ordinal: chunk.ordinal,
    text,
    span: { start: chunk.span.start, end: chunk.span.end },
    ...(chunk.page === undefined ? {} : { page: chunk.page }),
    headings: chunk.headings.map((heading) => cut(wellFormed(heading))),
    tokens: chunk.tokens,
  };
}

/**
 * What keyword search finds a chunk by: its title and headings beside its text, because a section often does not repeat its subject. Terms joined by spaces,
 * which every analyzer takes apart in the same way.
 */
export function indexedTerms(chunk: Pick<StoredChunk, "title" | "headings" | "text">): string {
  const lines = [...linesAbove(chunk), chunk.text].map(joinedTermsOf);
  const joined = lines.filter((line) => line !== "").join(" ");
  return utf8Bytes(joined) <= limits.chunkBytesMax ? joined : upTo(limits.chunkBytesMax, joined.split(" ")).join(" ");
}

/** As many terms as take `bytesMax` bytes with a space after each. Only a chunk of 64 KiB in a script without spaces has more. */
function upTo(bytesMax: number, terms: readonly string[]): readonly string[] {
  let bytes = 0;
  for (const [index, term] of terms.entries()) {
    bytes += utf8Bytes(term) + 1;
    if (bytes > bytesMax) return terms.slice(0, index);
  }
  return terms;
}

/**
 * A vector of another space or with NaN in it would poison every search that meets it, and one that has not the length of 1 those that take a product for a
 * cosine.
 * @throws InvalidInputError `store.vector_invalid`
 */
export function checkVector(vector: Float32Array, dimension: number): Float32Array {
  const norm = Math.sqrt(dot(vector, vector));
  // Also false for NaN.
  if (vector.length !== dimension || !(Math.abs(norm - 1) < normTolerance)) {
    const problem = `A vector must have ${dimension} numbers and length 1; this one has ${vector.length} and length ${norm}`;
    throw new InvalidInputError("store.vector_invalid", problem);
  }
  return vector;
}

/** Arithmetic in 8 bits leaves rounding of this order. */
const normTolerance = 1e-3;

function toStoredMetadata(metadata: Metadata): Metadata {
  // fromEntries defines properties; assignment would treat a key named __proto__ as the prototype.
  const stored = Object.fromEntries(Object.entries(metadata).map(([key, value]) => [wellFormed(key), toStoredValue(key, value)]));
  if (utf8Bytes(JSON.stringify(stored)) > limits.metadataBytesMax) {
    throw new DocumentError("store.metadata_too_large", `The metadata has more than ${limits.metadataBytesMax} bytes`);
  }
  return stored;
}

function toStoredValue(key: string, value: MetadataValue): MetadataValue {
  if (typeof value === "string") return wellFormed(value);
  if (typeof value === "object") return value.map(wellFormed);
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new DocumentError("store.metadata_invalid", `The metadata key "${key.slice(0, 64)}" is not a finite number`);
  }
  return value;
}

function cut(text: string): string {
  return text.length <= limits.titleCharsMax ? text : text.slice(0, limits.titleCharsMax).replace(/[\uD800-\uDBFF]$/, "");
}

function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}

function utf8Bytes(text: string): number {
  return Buffer.byteLength(text);
}
