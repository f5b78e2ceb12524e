import { DocumentError } from "@millrace/core";

export interface DecodedText {
  /** Without BOM and NUL, with `\n` line ends, lone surrogates replaced. */
  readonly text: string;
  readonly encoding: "utf-8" | "utf-16le" | "utf-16be" | "windows-1252";
}

/**
 * Bytes to text: a BOM decides, else strict UTF-8, else windows-1252, which gives every byte a character, so that an old file is readable rather than
 * refused.
 * @throws DocumentError `parse.binary` for bytes that are no text in any of these
 */
export function decodeText(bytes: Uint8Array): DecodedText {
  const encoding = encodingOf(bytes);
  const text = new TextDecoder(encoding).decode(bytes);
  return { text: cleanText(text), encoding };
}

/** Makes any string what `ParsedDocument.text` promises: valid UTF-16, no NUL, `\n` line ends. */
export function cleanText(text: string): string {
  return wellFormed(
    text
      .replace(/\r\n?/g, "\n")
      .replaceAll("\0", "")
      .replace(/^\uFEFF/, ""),
  );
}

/** Lone surrogates become U+FFFD: they have no UTF-8 form, so no store could hold them. */
function wellFormed(text: string): string {
  return text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "\uFFFD");
}

function encodingOf(bytes: Uint8Array): DecodedText["encoding"] {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    // NULs are valid UTF-8, but no text has more than a stray one.
    if (shareOfControls(bytes) < 0.02) return "utf-8";
  } catch {
    if (shareOfControls(bytes) < 0.02) return "windows-1252";
  }
  throw new DocumentError("parse.binary", "The file is binary, not text", {
    hint: "Give it the extension of its real format, or leave it out.",
  });
}

/** Share of control characters other than whitespace in the first 64 KiB. */
function shareOfControls(bytes: Uint8Array): number {
  const sample = bytes.subarray(0, 65_536);
  if (sample.length === 0) return 0;
  let controls = 0;
  for (const byte of sample) if (byte < 9 || (byte > 13 && byte < 32 && byte !== 27)) controls++;
  return controls / sample.length;
}
