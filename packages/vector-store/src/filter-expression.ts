import type { Filter, FilterValue, ProjectName } from "@millrace/core";
import { groupOf } from "./metadata-groups.ts";

/**
 * The only writer of Milvus boolean expressions. Two engines read them, so it keeps to what both understand in the same way:
 *
 * - In Lite a comparison with a missing JSON path is unknown (three-valued logic), and so is its negation: `not (...)` is
 *   written only around what is never unknown, and `ne` says "absent or different".
 * - Lite knows `in` for fields but not for JSON paths: there it is a chain of `==`.
 * - Both know the escapes \" \\ \n \r \t in strings and take every other character as it is.
 */
export function searchExpression(project: ProjectName, filter: Filter | undefined): string {
  const clause = `project == ${quote(project)}`;
  return filter === undefined ? clause : `${clause} and (${serialize(filter)})`;
}

/** Exactly this form, alone, is what Lite answers from its key index instead of by a scan. */
export function keysExpression(chunkIds: readonly string[]): string {
  return `chunk_id in ${list(chunkIds)}`;
}

/** The rows of a project whose key begins with some hexadecimal digits. */
export function keyRangeExpression(project: ProjectName, prefix: string): string {
  // "g" comes right after the last hexadecimal digit. A key that is none of ours begins before "0" or after "f", and is in the range of "".
  const range = prefix === "" ? "" : ` and chunk_id >= ${quote(prefix)} and chunk_id < ${quote(`${prefix}g`)}`;
  return `project == ${quote(project)}${range}`;
}

const fields: Readonly<Record<string, string>> = {
  source: "source",
  media_type: "media_type",
  title: "title",
  document_id: "document_id",
  ingested_at: "ingested_at",
};
const comparisons = { eq: "==", ne: "!=", gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

function serialize(filter: Filter): string {
  switch (filter.type) {
    case "and":
    case "or":
      return filter.filters.map((part) => `(${serialize(part)})`).join(` ${filter.type} `);
    case "in":
    case "nin":
      return membership(filter.type, filter.key, filter.value);
    default:
      return comparison(filter.type, filter.key, filter.value);
  }
}

function comparison(type: keyof typeof comparisons, key: string, value: FilterValue): string {
  const operator = comparisons[type];
  if (key === "page") return page(type === "ne", `page ${operator} ${literal(value)}`);
  if (key === "source_prefix") return type === "ne" ? hasNotPrefix(String(value)) : hasPrefix(String(value));
  const field = fields[key];
  if (field !== undefined) return `${field} ${operator} ${literal(value)}`;
  switch (type) {
    case "eq":
      return equals(key, value);
    case "ne":
      return differs(key, value);
    default:
      return `${metadataPath(key, value)} ${operator} ${literal(value)}`;
  }
}

function membership(type: "in" | "nin", key: string, values: readonly FilterValue[]): string {
  const operator = type === "in" ? "in" : "not in";
  if (key === "page") return page(type === "nin", `page ${operator} ${list(values)}`);
  const field = fields[key];
  if (field !== undefined) return `${field} ${operator} ${list(values)}`;
  const parts = values.map((value) => `(${comparison(type === "in" ? "eq" : "ne", key, value)})`);
  return parts.join(type === "in" ? " or " : " and ");
}

/** Page 0 stands for "no page". */
function page(trueWithoutPage: boolean, condition: string): string {
  return trueWithoutPage ? `page == 0 or ${condition}` : `page != 0 and ${condition}`;
}

/** As a range: strings are ordered by code point, and LIKE has wildcards that each engine escapes in its own way. */
function hasPrefix(prefix: string): string {
  const end = afterPrefix(prefix);
  return end === undefined ? `source >= ${quote(prefix)}` : `source >= ${quote(prefix)} and source < ${quote(end)}`;
}

function hasNotPrefix(prefix: string): string {
  const end = afterPrefix(prefix);
  return end === undefined ? `source < ${quote(prefix)}` : `source < ${quote(prefix)} or source >= ${quote(end)}`;
}

/** The first text after all that begin with `prefix`; undefined when there is none. */
function afterPrefix(prefix: string): string | undefined {
  const characters = [...prefix];
  for (let last = characters.pop(); last !== undefined; last = characters.pop()) {
    const codePoint = last.codePointAt(0) ?? 0;
    if (codePoint === 0x10_ff_ff) continue;
    // The code points of surrogates are no characters.
    return characters.join("") + String.fromCodePoint(codePoint === 0xd7_ff ? 0xe0_00 : codePoint + 1);
  }
  return undefined;
}

/** Lists hold strings, so that only a string can be equal to an element of one. */
function equals(key: string, value: FilterValue): string {
  const same = `${metadataPath(key, value)} == ${literal(value)}`;
  return typeof value === "string" ? `${same} or json_contains(${metadataPath(key, [])}, ${literal(value)})` : same;
}

function differs(key: string, value: FilterValue): string {
  const path = metadataPath(key, value);
  // Parentheses everywhere: the engines disagree about how tightly `exists` binds.
  const different = `(not (exists ${path})) or (${path} != ${literal(value)})`;
  return typeof value === "string" ? `(${different}) and (not json_contains(${metadataPath(key, [])}, ${literal(value)}))` : different;
}

function metadataPath(key: string, value: FilterValue | readonly string[]): string {
  return `metadata[${quote(groupOf(value))}][${quote(key.slice("metadata.".length))}]`;
}

function list(values: readonly FilterValue[]): string {
  return `[${values.map(literal).join(", ")}]`;
}

function literal(value: FilterValue): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "boolean") return String(value);
  // Digits alone are read as a 64-bit integer; larger numbers must look like floating point.
  return Number.isSafeInteger(value) ? String(value) : value.toExponential();
}

const escapes: Readonly<Record<string, string>> = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function quote(text: string): string {
  return `"${text.replace(/["\\\n\r\t]/g, (character) => escapes[character] ?? character)}"`;
}
