import { DocumentError } from "@millrace/core";
import { analyse } from "chardet";

export interface DecodedText {
  /** Without BOM and NUL, with `\n` line ends, lone surrogates replaced. */
  readonly text: string;
  /** By its name in the WHATWG Encoding Standard, as `utf-8` or `shift_jis`. */
  readonly encoding: string;
}

/** Bytes the detector looks at: its work grows with them, its answer hardly changes. */
const sampleBytes = 65_536;

/**
 * Bytes to text. In order: a BOM decides; else UTF-16 shows itself by its zero bytes; else what is valid UTF-8 is that, since hardly any text of another
 * encoding happens to be; else what the document declares, where it decodes without error; else what the letters look like; else windows-1252,
 * which gives every byte a character, so that an old file is readable rather than refused.
 * @param declared encoding named inside the document, by any of its labels
 * @throws DocumentError `parse.binary` for bytes that are no text
 */
export function decodeText(bytes: Uint8Array, declared?: string): DecodedText {
  const { encoding, text } = decoded(bytes, declared);
  return { text: cleanText(text), encoding };
}

/** Metadata that names the encoding where it is not the usual one. */
export function encodingFact({ encoding }: DecodedText): { readonly encoding?: string } {
  return encoding === "utf-8" ? {} : { encoding };
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

function decoded(bytes: Uint8Array, declared: string | undefined): DecodedText {
  const utf16 = utf16Of(bytes);
  if (utf16 !== undefined) return { encoding: utf16, text: new TextDecoder(utf16).decode(bytes) };
  // NULs are valid UTF-8, but no text has more than a stray one.
  if (shareOfControls(bytes) >= 0.02) {
    throw new DocumentError("parse.binary", "The file is binary, not text", {
      hint: "Give it the extension of its real format, or leave it out.",
    });
  }
  // ISO-2022 says everything in seven bits, and would pass for UTF-8.
  const sevenBit = bytes.includes(0x1b) ? detect(bytes).find((label) => label.startsWith("ISO-2022")) : undefined;
  for (const label of [sevenBit, "utf-8", declared]) {
    const attempt = label === undefined ? undefined : decodeStrictly(bytes, label);
    if (attempt !== undefined) return attempt;
  }
  for (const label of detect(bytes)) {
    const attempt = decodeStrictly(bytes, label);
    if (attempt !== undefined) return attempt;
  }
  return decodeWindows1252(bytes);
}

/** What windows-1252 has at 0x80 to 0x9f. */
const windows1252Specials = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

/** Not by TextDecoder, which in some releases of Node takes it for ISO-8859-1 and so loses dashes and quotation marks. */
function decodeWindows1252(bytes: Uint8Array): DecodedText {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  return {
    encoding: "windows-1252",
    text: text.replace(/[\u0080-\u009f]/g, (character) => windows1252Specials[character.charCodeAt(0) - 0x80] ?? character),
  };
}

/** By its BOM, or without one by the zero bytes that every letter of the first 256 has on one side. */
function utf16Of(bytes: Uint8Array): "utf-16le" | "utf-16be" | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  const sample = bytes.subarray(0, sampleBytes);
  if (!sample.includes(0)) return undefined; // nearly every file, told without a look at each byte
  const zeros = [0, 0];
  for (const [index, byte] of sample.entries()) if (byte === 0) zeros[index % 2] = (zeros[index % 2] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  const many = sample.length / 4;
  if (odd > many && even < odd / 50) return "utf-16le";
  return even > many && odd < even / 50 ? "utf-16be" : undefined;
}

function decodeStrictly(bytes: Uint8Array, label: string): DecodedText | undefined {
  try {
    const decoder = new TextDecoder(label, { fatal: true });
    // A declaration that could be read was not in UTF-16, whatever it says.
    if (decoder.encoding.startsWith("utf-16")) return undefined;
    if (decoder.encoding === "windows-1252") return decodeWindows1252(bytes);
    return { encoding: decoder.encoding, text: decoder.decode(bytes) };
  } catch {
    return undefined; // an unknown label, or bytes that the encoding does not have
  }
}

/** What the statistics of the letters suggest, the most likely first. */
function detect(bytes: Uint8Array): string[] {
  return analyse(bytes.subarray(0, sampleBytes)).flatMap(({ name, confidence }) => (confidence < 10 ? [] : [name]));
}

/** Share of control characters other than whitespace and ESC in the first 64 KiB. */
function shareOfControls(bytes: Uint8Array): number {
  const sample = bytes.subarray(0, sampleBytes);
  if (sample.length === 0) return 0;
  let controls = 0;
  for (const byte of sample) if (byte < 9 || (byte > 13 && byte < 32 && byte !== 27)) controls++;
  return controls / sample.length;
}
