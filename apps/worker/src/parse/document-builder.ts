import { type Block, type BlockKind, DocumentError, limits, type Metadata, type MetadataValue, type ParsedDocument } from "@millrace/core";
import { cleanText } from "./decode.ts";

/**
 * Collects blocks in order and gives the document: one text with a blank line between blocks, and spans that hold by construction (ordered, apart,
 * covering every non-space character).
 */
export class DocumentBuilder {
  readonly #parts: string[] = [];
  readonly #blocks: Block[] = [];
  readonly #pageStarts: number[] = [];
  #length = 0;

  /**
   * Blank text is dropped.
   * @param level of a heading
   * @param separator the white space between the block before and this one
   * @throws DocumentError `parse.too_large`
   */
  add(kind: BlockKind, text: string, level?: number, separator = "\n\n"): void {
    const clean = trimBlankLines(cleanText(text));
    if (clean === "") return;
    if (this.#length > 0) this.#append(separator);
    const start = this.#length;
    this.#append(clean);
    this.#blocks.push({ kind, start, end: this.#length, ...(level === undefined ? {} : { level }) });
  }

  /** What is added from here on is on the next page. */
  beginPage(): void {
    // The page starts where its first block will: behind the blank line that separates it from the page before.
    this.#pageStarts.push(this.#length === 0 ? 0 : this.#length + 2);
  }

  build(facts: { title?: string | undefined; metadata?: Readonly<Record<string, unknown>> }): ParsedDocument {
    const title = facts.title === undefined ? "" : cleanText(facts.title).replace(/\s+/g, " ").trim().slice(0, limits.titleCharsMax);
    const text = this.#parts.join("");
    return {
      text,
      blocks: this.#blocks,
      ...(this.#pageStarts.length === 0 ? {} : { pageStarts: this.#pageStarts }),
      ...(title === "" ? {} : { title }),
      metadata: flatMetadata(facts.metadata ?? {}),
    };
  }

  #append(text: string): void {
    this.#length += text.length;
    if (this.#length > limits.documentCharsMax) {
      throw new DocumentError("parse.too_large", `The document has more than ${limits.documentCharsMax} characters of text`, {
        hint: "Split it.",
      });
    }
    this.#parts.push(text);
  }
}

function trimBlankLines(text: string): string {
  return text.replace(/^(?:[^\S\n]*\n)+/, "").trimEnd();
}

const metadataKey = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
const metadataKeysMax = 32;

/** Keeps the values that can be filtered on (text, numbers, booleans, dates, lists of text), within bounds; the rest is no metadata. */
function flatMetadata(facts: Readonly<Record<string, unknown>>): Metadata {
  const metadata: Record<string, MetadataValue> = {};
  for (const [key, value] of Object.entries(facts).slice(0, metadataKeysMax)) {
    if (!metadataKey.test(key)) continue;
    const kept = metadataValue(value);
    if (kept !== undefined) metadata[key] = kept;
  }
  return metadata;
}

function metadataValue(value: unknown): MetadataValue | undefined {
  if (typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value))) return value;
  if (typeof value === "string") return cleanText(value).slice(0, 512);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.toISOString();
  if (Array.isArray(value) && value.every((item) => typeof item === "string"))
    return value.slice(0, 32).map((item: string) => cleanText(item).slice(0, 128));
  return undefined;
}
