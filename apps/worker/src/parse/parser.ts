import type { MediaType, ParsedDocument } from "@millrace/core";

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

/**
 * One file per format; a new format is a line here, one in core's media types, and its file. Each is loaded by its first document: a process that never meets a
 * PDF does not pay for reading them.
 */
export const parsers: Readonly<Record<MediaType, Parser>> = {
  "text/markdown": whole(async () => (await import("./markdown.ts")).parseMarkdown),
  "text/plain": whole(async () => (await import("./text.ts")).parseText),
  "text/html": whole(async () => (await import("./html.ts")).parseHtml),
  "text/x-rst": whole(async () => (await import("./restructured-text.ts")).parseRestructuredText),
  "text/csv": whole(async () => (await import("./csv.ts")).parseCsv),
  "text/tab-separated-values": whole(async () => (await import("./csv.ts")).parseTsv),
  "text/x-source": whole(async () => (await import("./source-code.ts")).parseSourceCode),
  "application/json": whole(async () => (await import("./json.ts")).parseJson),
  "application/jsonl": whole(async () => (await import("./json.ts")).parseJsonLines),
  "application/pdf": async (bytes, fromPage) => (await import("./pdf.ts")).parsePdf(bytes, fromPage),
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": whole(async () => (await import("./docx.ts")).parseDocx),
};

/** A format without pages: one part. */
function whole(load: () => Promise<(bytes: Uint8Array) => Promise<ParsedDocument>>): Parser {
  return async (bytes) => ({ document: await (await load())(bytes) });
}
