import type { ParsedDocument } from "@millrace/core";
import { decodeText, encodingFact } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";

/** Plain text: paragraphs are what stands between blank lines. */
export async function parseText(bytes: Uint8Array): Promise<ParsedDocument> {
  const decoded = decodeText(bytes);
  const builder = new DocumentBuilder();
  for (const paragraph of decoded.text.split(/\n[^\S\n]*\n/)) builder.add("paragraph", paragraph);
  return builder.build({ metadata: encodingFact(decoded) });
}
