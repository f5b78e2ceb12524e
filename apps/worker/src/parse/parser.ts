import type { MediaType, ParsedDocument } from "@millrace/core";
import { parseCsv, parseTsv } from "./csv.ts";
import { parseDocx } from "./docx.ts";
import { parseHtml } from "./html.ts";
import { parseJson, parseJsonLines } from "./json.ts";
import { parseMarkdown } from "./markdown.ts";
import { parsePdf } from "./pdf.ts";
import { parseRestructuredText } from "./restructured-text.ts";
import { parseSourceCode } from "./source-code.ts";
import { parseText } from "./text.ts";

/** A document, or some pages of one: a long one is parsed in parts, so that memory does not grow with it. */
export interface ParsedPart {
  readonly document: ParsedDocument;
  /** Where the next part begins; absent on the last. */
  readonly nextPage?: number;
}

/**
 * Turns source bytes into text with structure. A parser reads the bytes and nothing else: no files, no network. Formats without pages give the
 * whole whatever page they are asked to begin at; a title and metadata come with every part.
 * @throws DocumentError `parse.*` when the bytes are not what they claim to be or exceed a limit
 */
export type Parser = (bytes: Uint8Array, fromPage: number) => Promise<ParsedPart>;

/** One file per format; a new format is a line here, one in core's media types, and its file. */
export const parsers: Readonly<Record<MediaType, Parser>> = {
  "text/markdown": whole(parseMarkdown),
  "text/plain": whole(parseText),
  "text/html": whole(parseHtml),
  "text/x-rst": whole(parseRestructuredText),
  "text/csv": whole(parseCsv),
  "text/tab-separated-values": whole(parseTsv),
  "text/x-source": whole(parseSourceCode),
  "application/json": whole(parseJson),
  "application/jsonl": whole(parseJsonLines),
  "application/pdf": parsePdf,
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": whole(parseDocx),
};

/** A format without pages: one part. */
function whole(parse: (bytes: Uint8Array) => Promise<ParsedDocument>): Parser {
  return async (bytes) => ({ document: await parse(bytes) });
}
