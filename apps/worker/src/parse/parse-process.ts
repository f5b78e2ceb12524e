import { readFile, stat } from "node:fs/promises";
import { DocumentError, errorMessage, isMillraceError, limits, type MediaType } from "@millrace/core";
import { serveChildRequests } from "@millrace/runtime";
import { parsers } from "./parser.ts";

/** Child process of the parser pool: reads a blob and parses it. What a hostile file does here ends here. */
export interface ParseRequest {
  readonly path: string;
  readonly mediaType: MediaType;
  /** 1-based. */
  readonly fromPage: number;
}

// Parsers have no business on the network; whatever a library tries is refused before it leaves the process.
globalThis.fetch = () => Promise.reject(new Error("no network in a parser"));

serveChildRequests(async ({ path, mediaType, fromPage }: ParseRequest) => {
  const { size } = await stat(path);
  if (size > limits.documentBytesMax) {
    throw new DocumentError("parse.too_large", `${size} bytes, more than the limit of ${limits.documentBytesMax}`, {
      hint: "Split the document.",
    });
  }
  // A copy of its own: Node may hand out small files from a shared pool, which pdf.js would detach.
  const bytes = new Uint8Array(await readFile(path));
  try {
    return await parsers[mediaType](bytes, fromPage);
  } catch (error) {
    if (isMillraceError(error)) throw error;
    throw new DocumentError("parse.damaged", `The document cannot be read: ${errorMessage(error)}`, { cause: error });
  }
});
