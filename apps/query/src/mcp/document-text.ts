import { mergeTexts, type Span } from "@millrace/core";

/** The text that these chunks cover, each character once: neighbours overlap. */
export function textOf(chunks: readonly { readonly text: string; readonly span: Span }[]): string {
  return mergeTexts(chunks, () => "\n");
}
