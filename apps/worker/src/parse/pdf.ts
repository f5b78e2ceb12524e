import { DocumentError, errorMessage, limits } from "@millrace/core";
import { isOutOfMemory } from "@millrace/runtime/child";
import { DocumentBuilder } from "./document-builder.ts";
import type { OpenPdf } from "./open-pdf.ts";
import type { ParsedPart } from "./parser.ts";
import { openWithPdfJs } from "./pdf-js.ts";
import { openWithPdfium } from "./pdfium.ts";

/** A part takes at least this many times as long as getting to its first page did. */
const amortisation = 4;

/**
 * PDF page by page, so that page numbers survive into the hits and only one page's items are in memory at a time. A PDF
 * without a text layer (a scan) gives no blocks; the caller makes the state `empty` of that.
 *
 * PDFium reads it, in a quarter of pdf.js' time. What PDFium refuses, pdf.js is asked for: it makes something of files that end too soon, and says what is wrong
 * with the others.
 */
export async function parsePdf(bytes: Uint8Array, fromPage: number): Promise<ParsedPart> {
  if (!Buffer.from(bytes.subarray(0, 1_024)).includes("%PDF-")) {
    throw new DocumentError("parse.damaged", "Not a PDF: its first KiB has no %PDF- mark");
  }
  try {
    return await readPart(() => openWithPdfium(bytes), fromPage);
  } catch (error) {
    if (error instanceof DocumentError || isOutOfMemory(error)) throw error;
  }
  try {
    return await readPart(() => openWithPdfJs(bytes), fromPage);
  } catch (error) {
    throw typedError(error);
  }
}

/**
 * A part begins by opening the file again and finding its first page, which may take longer the further behind that page is. So a part goes on beyond
 * its usual number of pages until that has been a small share of its time, and nothing has to be kept between parts; but not the first, which the
 * model waits for. Where a part ends changes no chunk, since none crosses a page.
 */
async function readPart(open: () => Promise<OpenPdf>, fromPage: number): Promise<ParsedPart> {
  const startedAt = performance.now();
  const pdf = await open();
  try {
    if (pdf.pages > limits.documentPagesMax) {
      throw new DocumentError("parse.too_many_pages", `${pdf.pages} pages, more than the limit of ${limits.documentPagesMax}`, {
        hint: "Split the document.",
      });
    }
    const builder = new DocumentBuilder();
    const enough = (pages: number): boolean =>
      pages >= limits.parsePagesPerPartMax ||
      (fromPage === 1 && pages >= limits.parsePagesOfFirstPart) ||
      (pages >= limits.parsePagesPerPart && performance.now() - openedAt >= amortisation * (openedAt - startedAt));
    let openedAt = Number.POSITIVE_INFINITY;
    let page = fromPage;
    for (; page <= pdf.pages && !enough(page - fromPage); page++) {
      builder.beginPage();
      for (const paragraph of paragraphsOf(await pdf.text(page))) builder.add("paragraph", paragraph);
      openedAt = Math.min(openedAt, performance.now());
    }
    const { title, author, created, pages } = pdf;
    const document = builder.build({ title, metadata: { pages, ...(author ? { author } : {}), ...(created ? { created } : {}) } });
    return { document: { ...document, firstPage: fromPage }, ...(page <= pages ? { nextPage: page } : {}) };
  } finally {
    await pdf.close();
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
