import { DocumentError, limits, type ParsedDocument } from "@millrace/core";
import { decodeText, encodingFact } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";
import { addSourceCode } from "./source-code.ts";

/**
 * JSON as lines of `path.to.field: value`, so that each says what it is wherever a chunk begins. An element of a top-level list is a block of its
 * own. What is not strictly JSON (comments, a missing brace) is kept to the letter instead.
 */
export async function parseJson(bytes: Uint8Array): Promise<ParsedDocument> {
  const decoded = decodeText(bytes);
  const builder = new DocumentBuilder();
  const value = jsonOrUndefined(decoded.text);
  if (value === undefined) addSourceCode(builder, decoded.text);
  else for (const record of isListOfRecords(value) ? value : [value]) builder.add("list", linesOf(record));
  return builder.build({ title: titleOf(value), metadata: encodingFact(decoded) });
}

/** One JSON value per line, each a block; a line that is none is kept to the letter. */
export async function parseJsonLines(bytes: Uint8Array): Promise<ParsedDocument> {
  const decoded = decodeText(bytes);
  const builder = new DocumentBuilder();
  for (const line of decoded.text.split("\n")) {
    const value = jsonOrUndefined(line);
    builder.add("list", value === undefined ? line : linesOf(value));
  }
  return builder.build({ metadata: encodingFact(decoded) });
}

function isListOfRecords(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value.some((item) => typeof item === "object");
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Walked with a stack of its own: JSON may nest as deep as it likes. */
function linesOf(record: unknown): string {
  const lines: string[] = [];
  let length = 0;
  const pending: { path: string; value: unknown }[] = [{ path: "", value: record }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { path, value } = next;
    if (typeof value !== "object" || value === null) {
      const text = String(value);
      if (value === null || text === "") continue;
      lines.push(path === "" ? text : `${path}: ${text}`);
      length += path.length + text.length;
      // Paths are repeated in every line: a deep tree could have become very long before the builder sees it.
      if (length > limits.documentCharsMax) {
        throw new DocumentError("parse.too_large", `The document has more than ${limits.documentCharsMax} characters of text`, {
          hint: "Split it.",
        });
      }
    } else if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item !== "object")) {
      pending.push({ path, value: value.map(String).join(", ") });
    } else {
      const entries = Object.entries(value).reverse();
      for (const [key, item] of entries) pending.push({ path: path === "" ? key : `${path}.${key}`, value: item });
    }
  }
  return lines.join("\n");
}

function titleOf(value: unknown): string | undefined {
  const { title, name } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  return typeof title === "string" ? title : typeof name === "string" ? name : undefined;
}
