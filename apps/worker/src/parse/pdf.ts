import { DocumentError, errorMessage, limits } from "@millrace/core";
import { isOutOfMemory } from "@millrace/runtime/child";
import { DocumentBuilder } from "./document-builder.ts";
import type { ParsedPart } from "./parser.ts";

/** Classes of a browser that pdf.js looks for when it is loaded, and would else load a native canvas for. Only drawing uses them. */
const drawing = ["DOMMatrix", "ImageData", "Path2D"];
/** Taken before pdf.js is loaded, which replaces it in the whole process by a loop for old engines. */
const { push } = Array.prototype;
/** A part takes at least this many times as long as getting to its first page did. */
const amortisation = 4;

/**
 * PDF page by page, so that page numbers survive into the hits and only one page's items are in memory at a time. A PDF
 * without a text layer (a scan) gives no blocks; the caller makes the state `empty` of that.
 *
 * A part begins by opening the file again and finding its first page, which takes longer the further behind that page is. So a part goes on beyond
 * its usual number of pages until that has been a small share of its time, and nothing has to be kept between parts. A flat list of pages
 * still costs more per page the longer it is, inside pdf.js. Where a part ends changes no chunk, since none crosses a page.
 */
export async function parsePdf(bytes: Uint8Array, fromPage: number): Promise<ParsedPart> {
  if (!Buffer.from(bytes.subarray(0, 1_024)).includes("%PDF-")) {
    throw new DocumentError("parse.damaged", "Not a PDF: its first KiB has no %PDF- mark");
  }
  for (const name of drawing) if (!(name in globalThis)) Object.assign(globalThis, { [name]: class {} });
  // Loaded here, not at the top: it is the heaviest of the parsers, and most processes never meet a PDF.
  const { PDFParse } = await import("pdf-parse");
  const startedAt = performance.now();
  // No scripts from fonts, no fetching of maps or fonts: the bytes are all there is.
  const pdf = new PDFParse({
    data: bytes,
    isEvalSupported: false,
    useSystemFonts: false,
    useWorkerFetch: false,
    stopAtErrors: false,
    verbosity: 0,
  });
  try {
    const info = await pdf.getInfo();
    // All of it is loaded by now, and puts every glyph on a list: with the built-in function it takes an eighth less time.
    Object.assign(Array.prototype, { push });
    if (info.total > limits.documentPagesMax) {
      throw new DocumentError("parse.too_many_pages", `${info.total} pages, more than the limit of ${limits.documentPagesMax}`, {
        hint: "Split the document.",
      });
    }
    const builder = new DocumentBuilder();
    const enough = (pages: number): boolean =>
      pages >= limits.parsePagesPerPartMax ||
      (pages >= limits.parsePagesPerPart && performance.now() - openedAt >= amortisation * (openedAt - startedAt));
    let openedAt = Number.POSITIVE_INFINITY;
    let page = fromPage;
    for (; page <= info.total && !enough(page - fromPage); page++) {
      builder.beginPage();
      const { pages } = await pdf.getText({ partial: [page], pageJoiner: "" });
      for (const paragraph of paragraphsOf(pages[0]?.text ?? "")) builder.add("paragraph", paragraph);
      openedAt = Math.min(openedAt, performance.now());
    }
    const facts = (info.info ?? {}) as Record<string, unknown>;
    const { Title: title, Author: author, CreationDate: created } = facts;
    const document = builder.build({
      title: typeof title === "string" ? title : undefined,
      metadata: { pages: info.total, ...(author ? { author } : {}), ...(created ? { created } : {}) },
    });
    return { document: { ...document, firstPage: fromPage }, ...(page <= info.total ? { nextPage: page } : {}) };
  } catch (error) {
    throw typedError(error);
  } finally {
    await pdf.destroy().catch(() => undefined); // a document that failed to open has nothing to give back
  }
}

/** Blank lines separate paragraphs; lines within one stay lines, since columns of numbers are often all the layout that is left. */
function paragraphsOf(text: string): string[] {
  return text.split(/\n[^\S\n]*\n/);
}

function typedError(error: unknown): Error {
  if (error instanceof DocumentError || isOutOfMemory(error)) return error;
  const name = error instanceof Error ? error.name : "";
  if (name === "PasswordException" || /password/i.test(errorMessage(error))) {
    return new DocumentError("parse.encrypted", "The PDF is encrypted and needs a password", {
      cause: error,
      hint: "Save a copy without the password and ingest that.",
    });
  }
  return new DocumentError("parse.damaged", `The PDF cannot be read: ${errorMessage(error)}`, {
    cause: error,
    hint: "Open it in a viewer and save it again.",
  });
}
