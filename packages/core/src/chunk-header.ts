import type { Chunk } from "./document.ts";
import type { TokenCounter } from "./ports.ts";

/** What stands above a chunk in its document. */
interface Placed {
  readonly title: string;
  readonly headings: readonly string[];
  readonly text: string;
}

/** The title and the headings above a chunk, outermost first, each once and without those that it begins with. */
export function linesAbove({ title, headings, text }: Placed): readonly string[] {
  return [title, ...headings].filter((line, index, lines) => line !== "" && lines.indexOf(line) === index && !text.startsWith(line));
}

/** So that what stands above does not outweigh a short chunk. */
const headerTokensMax = 32;

/**
 * What a chunk is embedded under: the title and the innermost heading, because a section often does not repeat its subject (docs/tuning.md has what that is
 * worth). As many words of them as there is room for: no chunk is cut for its header.
 * @param room tokens that the chunk leaves
 * @returns undefined where nothing stands above, or nothing fits
 */
export function headerFor(placed: Placed, room: number, tokens: TokenCounter): string | undefined {
  const above = linesAbove(placed);
  const line = above.length > 1 ? `${above[0]}: ${above.at(-1)}` : (above[0] ?? "");
  const words = (line.match(/\S+/g) ?? []).slice(0, headerTokensMax);
  while (words.length > 0 && tokens.count(words.join(" ")) > Math.min(room, headerTokensMax)) words.pop();
  return words.length > 0 ? words.join(" ") : undefined;
}

/** What the embedding of a chunk is made of. */
export function embeddedText({ header, text }: Pick<Chunk, "header" | "text">): string {
  return header === undefined ? text : `${header}\n${text}`;
}
