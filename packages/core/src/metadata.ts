import type { Metadata, MetadataValue } from "./document.ts";
import { InvalidInputError } from "./errors.ts";
import { pipelineFingerprintOf } from "./identity.ts";
import { limits } from "./limits.ts";

const keyPattern = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;

/**
 * Checks metadata from outside: a flat object of texts, numbers, booleans and lists of texts, which is what can be filtered by.
 * @throws InvalidInputError `metadata.invalid`, `metadata.too_large`
 */
export function parseMetadata(value: unknown): Metadata {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("It must be a JSON object");
  const metadata: Record<string, MetadataValue> = {};
  for (const [key, each] of Object.entries(value)) {
    if (!keyPattern.test(key)) {
      throw invalid(`"${key.slice(0, 80)}" cannot be a key: up to 64 of A-Z, a-z, 0-9, "_" and "-", beginning with a letter or "_"`);
    }
    if (!isMetadataValue(each)) throw invalid(`The value of "${key}" is neither text, number, true or false, nor a list of texts`);
    metadata[key] = each;
  }
  const bytes = Buffer.byteLength(JSON.stringify(metadata));
  if (bytes > limits.metadataBytesMax) {
    throw new InvalidInputError(
      "metadata.too_large",
      `The metadata have ${bytes} bytes, more than the limit of ${limits.metadataBytesMax}`,
    );
  }
  return metadata;
}

/** The pipeline fingerprint of a document that carries given metadata: other metadata make another version of it. */
export function fingerprintWith(fingerprint: string, metadata: Metadata): string {
  const keys = Object.keys(metadata).sort();
  if (keys.length === 0) return fingerprint;
  return pipelineFingerprintOf({ fingerprint, metadata: JSON.stringify(keys.map((key) => [key, metadata[key]])) });
}

function isMetadataValue(value: unknown): value is MetadataValue {
  if (typeof value === "string" || typeof value === "boolean") return true;
  if (typeof value === "number") return Number.isFinite(value);
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function invalid(message: string): InvalidInputError {
  return new InvalidInputError("metadata.invalid", `Wrong metadata. ${message}`);
}
