import type { OpenPdf } from "./open-pdf.ts";

/** Classes of a browser that pdf.js looks for when it is loaded, and would else load a native canvas for. Only drawing uses them. */
const drawing = ["DOMMatrix", "ImageData", "Path2D"];
/** Taken before pdf.js is loaded, which replaces it in the whole process by a loop for old engines. */
const { push } = Array.prototype;

/**
 * A PDF in pdf.js, by way of pdf-parse.
 * @param bytes are no more the caller's
 * @throws what pdf.js does; `PasswordException` when it is encrypted
 */
export async function openWithPdfJs(bytes: Uint8Array): Promise<OpenPdf> {
  for (const name of drawing) if (!(name in globalThis)) Object.assign(globalThis, { [name]: class {} });
  // Loaded here, not at the top: it is heavy, and most processes never need it.
  const { PDFParse } = await import("pdf-parse");
  // No scripts from fonts, no fetching of maps or fonts: the bytes are all there is.
  const pdf = new PDFParse({
    data: bytes,
    isEvalSupported: false,
    useSystemFonts: false,
    useWorkerFetch: false,
    stopAtErrors: false,
    verbosity: 0,
  });
  const info = await pdf.getInfo().catch(async (error: unknown) => {
    await pdf.destroy().catch(() => undefined); // there may be nothing to give back
    throw error;
  });
  // All of it is loaded by now, and puts every glyph on a list: with the built-in function it takes an eighth less time.
  Object.assign(Array.prototype, { push });
  const facts = (info.info ?? {}) as Record<string, unknown>;
  const fact = (name: string): string | undefined => (typeof facts[name] === "string" ? facts[name] : undefined);
  return {
    pages: info.total,
    title: fact("Title"),
    author: fact("Author"),
    created: fact("CreationDate"),
    text: async (page) => (await pdf.getText({ partial: [page], pageJoiner: "" })).pages[0]?.text ?? "",
    close: () => pdf.destroy(),
  };
}
