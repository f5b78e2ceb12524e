import type { ParsedDocument } from "@millrace/core";
import { decodeText, encodingFact } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";

/**
 * Source code and configuration to the letter. A block is what stands between blank lines that are followed by a line without indentation: in most
 * languages a function, a class or a section, which a chunk should not cut where it need not.
 */
export async function parseSourceCode(bytes: Uint8Array): Promise<ParsedDocument> {
  const decoded = decodeText(bytes, declaredEncoding(bytes));
  const builder = new DocumentBuilder();
  addSourceCode(builder, decoded.text);
  return builder.build({ metadata: encodingFact(decoded) });
}

export function addSourceCode(builder: DocumentBuilder, text: string): void {
  let start = 0;
  let separator = "";
  for (const { index } of text.matchAll(/\n(?=\S)/g)) {
    let end = index;
    while (end > start && (text[end - 1] ?? "").trim() === "") end--;
    const gap = text.slice(end, index + 1);
    if (gap.indexOf("\n") === gap.lastIndexOf("\n")) continue; // the next line, not a blank one between
    builder.add("code", text.slice(start, end), undefined, separator);
    start = index + 1;
    separator = gap;
  }
  builder.add("code", text.slice(start), undefined, separator);
}

/** As an XML declaration (`encoding="…"`) or a comment in the first lines (`coding: …`) has it. */
function declaredEncoding(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.subarray(0, 256)).toString("latin1");
  return /^\s*<\?xml[^>]*\sencoding=["']([\w.:-]+)["']/.exec(head)?.[1] ?? /^(?:.*\n)?\W*.*coding[:=]\s*([\w.-]+)/.exec(head)?.[1];
}
