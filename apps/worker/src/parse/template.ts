import { DocumentError, type ParsedDocument } from "@millrace/core";
import { decodeText, encodingFact } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";

/**
 * A parser to copy for a new format. It compiles and is tested, but belongs to no media type: it reads an invented one, whose first line is
 * `notes 1` and whose headings are lines that begin with `#`.
 *
 * 1. Say here what becomes of the format's parts, and what is left out.
 * 2. Bytes in, document out: no files, no network, no state between calls. A library that is heavy is loaded inside the function.
 * 3. What the author wrote is kept: when in doubt, as text. Hostile input costs time and memory in proportion to its bytes: no recursion over
 *    nesting, no expression that backtracks, a limit on whatever multiplies.
 */
export async function parseNotes(bytes: Uint8Array): Promise<ParsedDocument> {
  const decoded = decodeText(bytes);
  const [mark, ...lines] = decoded.text.split("\n");
  if (mark?.trim() !== "notes 1") {
    // Errors name the thing and the way out. Anything else that is thrown becomes `parse.damaged`.
    throw new DocumentError("parse.damaged", "The first line is not `notes 1`", { hint: "Save the notes again." });
  }
  const builder = new DocumentBuilder();
  for (const line of lines) {
    const level = /^#+/.exec(line)?.[0].length ?? 0;
    if (level > 0) builder.add("heading", line.slice(level).trim(), Math.min(level, 6));
    else builder.add("paragraph", line); // blank text is dropped by the builder
  }
  return builder.build({ metadata: encodingFact(decoded) });
}
