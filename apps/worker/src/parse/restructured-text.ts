import type { ParsedDocument } from "@millrace/core";
import { decodeText, encodingFact } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";

/** A line of one repeated punctuation character: what stands under a title, and above it too where an overline is used. */
const adornment = /^([!-/:-@[-`{-~])\1{2,}\s*$/;
/** Directives whose content is not prose. */
const literalDirectives = /^(?:code|code-block|sourcecode|literalinclude|parsed-literal|math|highlight|raw|productionlist|doctest)$/;

/**
 * reStructuredText as its reader sees it: titles are headings (the first style of underline is the first level, and so on), literal blocks stay
 * to the letter, grid and simple tables too; comments, targets and the names of directives are dropped, their text is kept.
 */
export async function parseRestructuredText(bytes: Uint8Array): Promise<ParsedDocument> {
  const decoded = decodeText(bytes);
  const builder = new DocumentBuilder();
  const lines = decoded.text.replace(/\t/g, "        ").split("\n");
  const styles: string[] = [];
  let title: string | undefined;
  for (let at = 0; at < lines.length; ) {
    const heading = headingAt(lines, at);
    if (heading !== undefined) {
      const known = styles.indexOf(heading.style);
      const level = known >= 0 ? known + 1 : styles.push(heading.style);
      title ??= inlineText(heading.text);
      builder.add("heading", inlineText(heading.text), Math.min(level, 6));
      at = heading.end;
      continue;
    }
    const end = blockEnd(lines, at);
    if (end > at) at = addBlock(builder, lines, at, end);
    else at++;
  }
  return builder.build({ title, metadata: encodingFact(decoded) });
}

function headingAt(lines: readonly string[], at: number): { text: string; style: string; end: number } | undefined {
  const [first = "", second = "", third = ""] = lines.slice(at, at + 3);
  const over = adornment.exec(first)?.[1];
  if (over !== undefined && second.trim() !== "" && third.trimEnd() === first.trimEnd()) {
    return { text: second.trim(), style: `${over}${over}`, end: at + 3 };
  }
  const under = adornment.exec(second)?.[1];
  const isTitle = over === undefined && under !== undefined && /^\S/.test(first) && second.trimEnd().length >= first.trimEnd().length;
  return isTitle ? { text: first.trim(), style: under, end: at + 2 } : undefined;
}

/** Index after the last line of the run of lines without a blank one. */
function blockEnd(lines: readonly string[], at: number): number {
  let end = at;
  while (end < lines.length && lines[end]?.trim() !== "") end++;
  return end;
}

/** Index after the indented lines that follow, blank ones among them included. */
function indentedEnd(lines: readonly string[], from: number): number {
  let end = from;
  for (let at = from; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (/^\S/.test(line)) break;
    if (line.trim() !== "") end = at + 1;
  }
  return end;
}

/** @returns where to go on */
function addBlock(builder: DocumentBuilder, lines: readonly string[], at: number, end: number): number {
  const first = lines[at] ?? "";
  const text = lines.slice(at, end).join("\n");
  if (first.startsWith(".. ") || first.trimEnd() === "..") return addExplicitMarkup(builder, lines, at);
  if (/^\s*(?:\+[-=+]{3,}|={2,} +=)/.test(first)) {
    const tableEnd = first.includes("+") ? end : simpleTableEnd(lines, at);
    builder.add("table", lines.slice(at, tableEnd).join("\n"));
    return tableEnd;
  }
  if (adornment.test(first) && end === at + 1) return end; // a transition
  const isList = /^\s*(?:[-*+•]|\(?(?:\d+|#|[a-z])[.)])\s/.test(first);
  builder.add(isList ? "list" : /^\s*>>> /.test(first) ? "code" : "paragraph", inlineText(text).replace(/::$/, ":"));
  if (!text.endsWith("::")) return end;
  const literalEnd = indentedEnd(lines, end);
  builder.add("code", dedent(lines.slice(end, literalEnd)));
  return Math.max(literalEnd, end);
}

/** `.. name:: argument` with its indented content, or a comment, target or footnote. */
function addExplicitMarkup(builder: DocumentBuilder, lines: readonly string[], at: number): number {
  const end = indentedEnd(lines, at + 1);
  const first = (lines[at] ?? "").slice(2).trim();
  const directive = /^(?:\|[^|]+\| +)?([\w:+.-]+?):: *(.*)$/.exec(first);
  const footnote = /^\[[^\]]+\] +(.*)$/.exec(first);
  if (directive === null && footnote === null) return end;
  const [, name = "", argument = ""] = directive ?? [];
  const body = lines.slice(at + 1, end);
  while (directive !== null && /^\s+:[\w-]+:/.test(body[0] ?? "")) body.shift(); // options
  const content = dedent(body);
  if (literalDirectives.test(name)) builder.add("code", content);
  else {
    const spoken = footnote?.[1] ?? (/^(?:image|figure|include|toctree|contents|index)$/.test(name) ? "" : argument);
    for (const paragraph of `${spoken}\n\n${content}`.split(/\n[^\S\n]*\n/)) builder.add("paragraph", inlineText(paragraph));
  }
  return end;
}

/** Lines of a simple table that has no blank line after its last border. */
const tableLinesMax = 2_000;

/** A simple table ends with the border that a blank line follows; what has none is no table but for its first line. */
function simpleTableEnd(lines: readonly string[], at: number): number {
  for (let index = at + 1; index < Math.min(lines.length, at + tableLinesMax); index++) {
    const isBorder = /^\s*={2,}(?: +=+)+\s*$/.test(lines[index] ?? "");
    if (isBorder && (lines[index + 1] ?? "").trim() === "") return index + 1;
  }
  return at + 1;
}

function dedent(lines: readonly string[]): string {
  const indents = lines.filter((line) => line.trim() !== "").map((line) => line.length - line.trimStart().length);
  const indent = indents.reduce((least, each) => Math.min(least, each), Number.POSITIVE_INFINITY);
  return lines.map((line) => line.slice(Math.min(indent, line.length))).join("\n");
}

/** Roles, links and emphasis as the words they show. */
function inlineText(text: string): string {
  return text
    .replace(/(?::[\w.:+-]{1,64}:)?`([^`<]+?)\s*<[^`>]*>`_{0,2}/g, "$1")
    .replace(/``([^`]+)``/g, "$1")
    .replace(/(?::[\w.:+-]{1,64}:)?`~?([^`]+)`_{0,2}/g, "$1")
    .replace(/\*\*([^*\n]+)\*\*/g, "$1")
    .replace(/(?<![\w*])\*([^*\s][^*\n]*)\*(?![\w*])/g, "$1")
    .replace(/\|(\w[^|\n]*)\|/g, "$1");
}
