import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { WrappedPdfiumModule } from "@embedpdf/pdfium";
import type { OpenPdf } from "./open-pdf.ts";

/**
 * PDFium, the PDF engine of Chrome, as WebAssembly. Its interface is that of C: what it gives are addresses in its memory, 0 is none. In this memory it is
 * confined: a broken file may make it abort, not reach anything else.
 */
interface Instance {
  readonly pdfium: WrappedPdfiumModule & { readonly pdfium: { readonly HEAPU8: Uint8Array } };
  /** What it said when it was refused memory. */
  memoryError: string | undefined;
}

/** Made by the first PDF, and anew after an abort, which leaves its memory in any state. */
let current: Promise<Instance> | undefined;

/** @throws Error when PDFium refuses the file; one that `isOutOfMemory` knows when there is no memory for it */
export async function openWithPdfium(bytes: Uint8Array): Promise<OpenPdf> {
  const starting = current ?? start();
  current = starting;
  const instance = await starting;
  const { pdfium } = instance;
  const { malloc, free } = pdfium.pdfium.wasmExports;

  const guarded = <T>(work: () => T): T => {
    try {
      const result = work();
      // It may go on with less than it asked for: a part of a page would pass for all of it.
      if (instance.memoryError === undefined) return result;
    } catch (error) {
      current = undefined;
      if (instance.memoryError === undefined) throw error;
    }
    current = undefined;
    throw new Error(instance.memoryError);
  };

  /** The UTF-16 text that `write` puts at an address; it returns how many bytes of it are text. */
  const readText = (bytesMax: number, write: (address: number) => number): string => {
    const address = malloc(bytesMax);
    const length = write(address);
    const text = Buffer.from(pdfium.pdfium.HEAPU8.buffer, address, length).toString("utf16le");
    free(address);
    return text;
  };

  const fact = (name: string): string | undefined => {
    const size = pdfium.FPDF_GetMetaText(document, name, 0, 0);
    // Two bytes are the end of an empty text.
    return size <= 2 ? undefined : readText(size, (address) => pdfium.FPDF_GetMetaText(document, name, address, size) - 2);
  };

  const pageText = (index: number): string => {
    const page = pdfium.FPDF_LoadPage(document, index);
    const textPage = page === 0 ? 0 : pdfium.FPDFText_LoadPage(page);
    if (textPage === 0) throw new Error(`PDFium cannot read page ${index + 1}`);
    const count = pdfium.FPDFText_CountChars(textPage);
    // Four bytes for each: a character may be two units.
    const text = count < 1 ? "" : readText(4 * (count + 1), (address) => 2 * (pdfium.FPDFText_GetText(textPage, 0, count, address) - 1));
    pdfium.FPDFText_ClosePage(textPage);
    pdfium.FPDF_ClosePage(page);
    return (
      text
        // A hyphen at the end of a line, and that end; whether the hyphen belongs to the word it does not know.
        .replaceAll("\ufffe", "-\n")
        // It takes some marks of list items for the continuation of the line above.
        .replaceAll(" • ", "\n• ")
    );
  };

  const file = guarded(() => malloc(bytes.length));
  pdfium.pdfium.HEAPU8.set(bytes, file);
  const document = guarded(() => pdfium.FPDF_LoadMemDocument(file, bytes.length, ""));
  if (document === 0) {
    free(file);
    throw new Error(`PDFium refuses the file: error ${pdfium.FPDF_GetLastError()}`);
  }
  return {
    ...guarded(() => ({
      pages: pdfium.FPDF_GetPageCount(document),
      title: fact("Title"),
      author: fact("Author"),
      created: fact("CreationDate"),
    })),
    text: (page) => guarded(() => pageText(page - 1)),
    close: () => {
      if (current !== starting) return; // it has aborted, and its memory goes with it
      pdfium.FPDF_CloseDocument(document);
      free(file);
    },
  };
}

async function start(): Promise<Instance> {
  const { init } = await import("@embedpdf/pdfium");
  const wasmBinary = await readFile(createRequire(import.meta.url).resolve("@embedpdf/pdfium/pdfium.wasm"));
  let instance: Instance | undefined;
  const printErr = (line: string): void => {
    if (instance !== undefined && /grow the heap|enlarge memory/i.test(line)) instance.memoryError = line;
  };
  const pdfium = (await init({ wasmBinary, printErr } as never)) as Instance["pdfium"];
  pdfium.PDFiumExt_Init();
  instance = { pdfium, memoryError: undefined };
  return instance;
}
