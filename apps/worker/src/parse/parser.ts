import type { MediaType, ParsedDocument } from "@millrace/core";
import { parseHtml } from "./html.ts";
import { parseMarkdown } from "./markdown.ts";
import { parsePdf } from "./pdf.ts";
import { parseText } from "./text.ts";

/**
 * Turns source bytes into text with structure. A parser reads the bytes and nothing else: no files, no network.
 * @throws DocumentError `parse.*` when the bytes are not what they claim to be or exceed a limit
 */
export type Parser = (bytes: Uint8Array) => Promise<ParsedDocument>;

/** One file per format; a new format is a line here, one in core's media types, and its file. */
export const parsers: Readonly<Record<MediaType, Parser>> = {
  "text/markdown": parseMarkdown,
  "text/plain": parseText,
  "text/html": parseHtml,
  "application/pdf": parsePdf,
};
