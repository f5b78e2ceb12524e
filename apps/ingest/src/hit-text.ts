import type { SearchHit } from "@millrace/client";
import type { SearchMode } from "@millrace/core";
import { snippetOf, wrappedLines } from "./snippet.ts";
import type { Style } from "./styled-text.ts";
import { printable } from "./terminal.ts";

interface HitTextOptions {
  readonly style: Style;
  readonly columns: number;
  /** Tell where it stood in each list. */
  readonly explain: boolean;
  readonly mode: SearchMode;
}

const indent = "      ";
const snippetLinesMax = 3;

/** A hit for people: where it is, what it says around the words of the query, or all of what was asked for around it. */
export function hitText(hit: SearchHit, label: string, { style, columns, explain, mode }: HitTextOptions): string {
  const place = style.bold(printable(hit.source) + (hit.page === null ? "" : `:${hit.page}`));
  const path = hit.headings.map(printable).join(" › ");
  const lines = [`${label.padStart(3)} ${hit.score.toFixed(3)}  ${place}${path === "" ? "" : style.dim(` · ${path}`)}`];
  const shape = { columns: columns - indent.length, mark: style.match };
  lines.push(...textLines(hit, shape).map((line) => (line === "" ? "" : indent + line)));
  if (hit.context?.cut === true) lines.push(indent + style.dim("… the section goes on"));
  if (explain) lines.push(indent + style.dim(standingsText(hit, mode)));
  return `${lines.join("\n")}\n`;
}

function textLines(hit: SearchHit, shape: { readonly columns: number; readonly mark: (text: string) => string }): string[] {
  const { context, highlights = [] } = hit;
  if (context !== undefined) {
    const offset = hit.span.start - context.span.start;
    const marks = highlights.map(({ start, end }) => ({ start: start + offset, end: end + offset }));
    return wrappedLines(context.text, marks, shape);
  }
  const skipped = headingLength(hit);
  const marks = highlights
    .filter(({ start }) => start >= skipped)
    .map(({ start, end }) => ({ start: start - skipped, end: end - skipped }));
  return snippetOf(hit.text.slice(skipped), marks, { ...shape, linesMax: snippetLinesMax });
}

/** Of the heading that a chunk begins with: it stands above the snippet. What is nothing else is shown. */
function headingLength({ text, headings }: SearchHit): number {
  const heading = headings.at(-1) ?? "";
  return heading !== "" && text.startsWith(`${heading}\n`) && text.length > heading.length + 1 ? heading.length + 1 : 0;
}

/** Where it stood in the lists that were searched. */
function standingsText({ standings }: SearchHit, mode: SearchMode): string {
  const lists = mode === "hybrid" ? (["dense", "keyword"] as const) : [mode];
  const texts = lists.map((list) => {
    const standing = standings[list];
    return standing === null ? `not in ${list}` : `${list} #${standing.rank} ${standing.score.toFixed(3)}`;
  });
  const { retrieved } = standings;
  if (retrieved !== undefined) texts.push(`before reranking #${retrieved.rank} ${retrieved.score.toFixed(3)}`);
  return texts.join(" · ");
}
