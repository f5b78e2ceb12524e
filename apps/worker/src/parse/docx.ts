import { DocumentError, type ParsedDocument } from "@millrace/core";
import { parse, parseFragment } from "parse5";
import { DocumentBuilder } from "./document-builder.ts";
import { addHtmlBlocks, elementText } from "./html-blocks.ts";
import { unzipWithin } from "./unzip.ts";

/** The parts that hold text or say what it means; pictures, fonts and embedded files are never unpacked. */
const readParts = /^(?:\[Content_Types\]\.xml|(?:.*\/)?_rels\/[^/]*\.rels|(?:word|docProps)\/[^/]*\.xml)$/i;
const oleMark = [0xd0, 0xcf, 0x11, 0xe0];

/**
 * Word documents: mammoth makes HTML of what styles mean, and that is read as any HTML. Pictures are left out, and nothing the document points
 * to outside itself is opened.
 */
export async function parseDocx(bytes: Uint8Array): Promise<ParsedDocument> {
  if (oleMark.every((byte, index) => bytes[index] === byte)) {
    throw new DocumentError("parse.encrypted", "The file is an encrypted Word document, or one of the time before docx", {
      hint: "Save a copy as .docx without a password and ingest that.",
    });
  }
  const parts = unzipWithin(bytes, (name) => readParts.test(name));
  for (const [name, part] of Object.entries(parts)) refuseDoctype(name, part);
  const [{ zipSync }, { default: mammoth }] = await Promise.all([import("fflate"), import("mammoth")]);
  const { value: html } = await mammoth.convertToHtml(
    // Packed anew, so that it unpacks nothing that was not measured.
    { buffer: Buffer.from(zipSync(parts, { level: 0 })) },
    {
      externalFileAccess: false,
      convertImage: mammoth.images.imgElement(async () => ({ src: "" })),
      styleMap: ["p[style-name='Title'] => h1:fresh", "p[style-name='Subtitle'] => p:fresh"],
    },
  );
  const builder = new DocumentBuilder();
  addHtmlBlocks(builder, parse(html), () => false);
  const core = Buffer.from(parts["docProps/core.xml"] ?? []).toString("utf8");
  const [author, created] = [elementOf(core, "dc:creator"), elementOf(core, "dcterms:created")];
  return builder.build({
    title: elementOf(core, "dc:title"),
    metadata: { ...(author === undefined ? {} : { author }), ...(created === undefined ? {} : { created }) },
  });
}

/** The format has no document type declarations; what declares entities means to multiply them. */
function refuseDoctype(name: string, part: Uint8Array): void {
  if (Buffer.from(part.buffer, part.byteOffset, part.byteLength).includes("<!DOCTYPE")) {
    throw new DocumentError("parse.damaged", `${name} declares a document type, which no Word document does`);
  }
}

/** Text of the first element of that name; undefined when there is none or it is empty. */
function elementOf(xml: string, name: string): string | undefined {
  const inner = new RegExp(`<${name}(?:\\s[^>]*)?>([^<]*)<`).exec(xml)?.[1]?.trim();
  if (inner === undefined || inner === "") return undefined;
  const fragment = parseFragment(`<p>${inner}</p>`).childNodes[0];
  return fragment !== undefined && "tagName" in fragment ? elementText(fragment, "paragraph") : undefined;
}
