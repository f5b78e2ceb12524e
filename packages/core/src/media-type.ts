import type { MediaType } from "./document.ts";

const byExtension: Readonly<Record<string, MediaType>> = {
  md: "text/markdown",
  markdown: "text/markdown",
  mdx: "text/markdown",
  txt: "text/plain",
  text: "text/plain",
  log: "text/plain",
  html: "text/html",
  htm: "text/html",
  xhtml: "text/html",
  pdf: "application/pdf",
};

/** The format of a source by its extension; undefined when no parser knows it. */
export function mediaTypeOf(source: string): MediaType | undefined {
  const extension = /\.([^./\\]+)$/.exec(source)?.[1];
  return extension === undefined ? undefined : byExtension[extension.toLowerCase()];
}

/** Extensions that have a parser, without the dot. */
export const knownExtensions: readonly string[] = Object.keys(byExtension);

const byMime: Readonly<Record<string, MediaType>> = {
  "text/markdown": "text/markdown",
  "text/x-markdown": "text/markdown",
  "text/plain": "text/plain",
  "text/html": "text/html",
  "application/xhtml+xml": "text/html",
  "application/pdf": "application/pdf",
};

/** The format of a MIME type, parameters aside; undefined when no parser knows it. */
export function mediaTypeOfMime(mime: string): MediaType | undefined {
  return byMime[mime.split(";")[0]?.trim().toLowerCase() ?? ""];
}
