import type { Span } from "@millrace/core";

/** The text that these chunks cover, each character once: neighbours overlap. */
export function textOf(chunks: readonly { readonly text: string; readonly span: Span }[]): string {
  let text = "";
  let end = chunks[0]?.span.start ?? 0;
  for (const { span, text: own } of chunks) {
    // What lies between chunks is white space.
    if (span.start > end) text += "\n";
    text += own.slice(Math.max(0, end - span.start));
    end = Math.max(end, span.end);
  }
  return text;
}
