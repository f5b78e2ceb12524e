/** Half-open range of UTF-16 code units. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** A run of characters without white space, and what of it is marked. */
interface Word extends Range {
  /** Columns on a terminal. */
  readonly columns: number;
  readonly marks: readonly Range[];
  /** A sentence or a line begins here. */
  readonly opens: boolean;
}

export interface SnippetShape {
  readonly columns: number;
  readonly linesMax: number;
  /** Shows what is marked. */
  readonly mark: (text: string) => string;
}

/**
 * The lines of a text around its densest marks, for people: white space is one space, control characters are none, and what is left out shows as "…". A text
 * without marks is shown from its beginning.
 *
 * @param marks in order and without overlaps
 */
export function snippetOf(text: string, marks: readonly Range[], shape: SnippetShape): string[] {
  const clean = withoutControls(text);
  const words = wordsOf(clean, marks, shape.columns - ellipses);
  // Room for the ellipses at both ends, and for what the ends of lines waste.
  const room = shape.columns * shape.linesMax - ellipses - shape.linesMax * 4;
  const first = bestStart(words, clean, room);
  return linesOf(words.slice(first), clean, shape, first > 0 ? "… " : "");
}

/** A long line that goes on in lower case on the next, as those of a PDF do; the indented ones of code do not. */
const brokenLine = /(?<=[^\n]{50})\n(?=\p{Ll})/gu;

/** The whole text in lines of at most so many columns; its paragraphs and lines stay apart, as far as they are more than where a page's line ended. */
export function wrappedLines(text: string, marks: readonly Range[], shape: Omit<SnippetShape, "linesMax">): string[] {
  const lines: string[] = [];
  let at = 0;
  for (const line of withoutControls(text).replace(brokenLine, " ").split("\n")) {
    const inLine = marks.flatMap(({ start, end }) =>
      start < at + line.length && end > at ? [{ start: Math.max(start - at, 0), end: Math.min(end - at, line.length) }] : [],
    );
    const words = wordsOf(line, inLine, shape.columns);
    if (words.length > 0) lines.push(...linesOf(words, line, { ...shape, linesMax: Number.POSITIVE_INFINITY }, ""));
    else if (lines.length > 0 && lines.at(-1) !== "") lines.push("");
    at += line.length + 1;
  }
  return lines;
}

/** Columns of "… " and " …". */
const ellipses = 4;

/** One character for each, so that offsets stay right. */
function withoutControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]/g, (control) =>
    control === "\n" ? control : " ",
  );
}

function wordsOf(text: string, marks: readonly Range[], columnsMax: number): Word[] {
  const words: Word[] = [];
  let nextMark = 0;
  let previousEnd = 0;
  for (const match of text.matchAll(/\S+/g)) {
    const gap = text.slice(previousEnd, match.index);
    let opens = previousEnd === 0 || gap.includes("\n") || /[.!?…]["')\]»”’]*$/.test(text.slice(Math.max(0, previousEnd - 3), previousEnd));
    for (const { start, end, columns } of piecesOf(match[0], match.index, columnsMax)) {
      while ((marks[nextMark]?.end ?? Number.POSITIVE_INFINITY) <= start) nextMark++;
      const own: Range[] = [];
      for (let index = nextMark; (marks[index]?.start ?? Number.POSITIVE_INFINITY) < end; index++) {
        const mark = marks[index] as Range;
        own.push({ start: Math.max(mark.start, start), end: Math.min(mark.end, end) });
      }
      words.push({ start, end, columns, marks: own, opens });
      opens = /[。！？]$/.test(text.slice(start, end));
    }
    previousEnd = match.index + match[0].length;
  }
  return words;
}

const wide = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\u3000-\u303f\uff01-\uff60\p{Emoji_Presentation}]/u;
const narrow = /\p{M}|\u200d|\ufe0f/u;

/** A word that is no longer than a line, or the pieces of one: single characters where a script has no spaces. */
function* piecesOf(word: string, offset: number, columnsMax: number): Generator<Range & { columns: number }> {
  let start = offset;
  let end = offset;
  let columns = 0;
  for (const character of word) {
    const own = narrow.test(character) ? 0 : wide.test(character) ? 2 : 1;
    const cuts = columns > 0 && own > 0 && (own === 2 || columns + own > columnsMax || wide.test(word.slice(start - offset, end - offset)));
    if (cuts) {
      yield { start, end, columns };
      start = end;
      columns = 0;
    }
    end += character.length;
    columns += own;
  }
  if (end > start) yield { start, end, columns };
}

/** A mark that was seen before in the same snippet tells less. */
const repeatedWeight = 0.25;
/** Enough to move the beginning to that of a sentence, not to lose a mark for it. */
const openingWeight = 0.2;

/** The word from which as much as fits is worth most: different marks first, then many; of equals the earliest. */
function bestStart(words: readonly Word[], text: string, room: number): number {
  let best = 0;
  let bestWorth = Number.NEGATIVE_INFINITY;
  for (const [start, first] of words.entries()) {
    let worth = first.opens ? openingWeight : 0;
    let columns = 0;
    const seen = new Set<string>();
    let end = start;
    for (let word = words[end]; word !== undefined && columns + word.columns <= room; word = words[++end]) {
      columns += word.columns + gapBefore(words, end);
      for (const mark of word.marks) {
        const marked = text.slice(mark.start, mark.end).toLowerCase();
        worth += seen.has(marked) ? repeatedWeight : 1;
        seen.add(marked);
      }
    }
    if (worth > bestWorth) {
      best = start;
      bestWorth = worth;
    }
    // What begins later shows no more of the text than this.
    if (end === words.length) break;
  }
  return best;
}

function gapBefore(words: readonly Word[], index: number): number {
  return index > 0 && words[index - 1]?.end === words[index]?.start ? 0 : 1;
}

function linesOf(words: readonly Word[], text: string, { columns, linesMax, mark }: SnippetShape, prefix: string): string[] {
  const lines: string[] = [];
  let line: Word[] = [];
  let used = prefix.length;
  const close = (): void => {
    lines.push((lines.length === 0 ? prefix : "") + lineText(line, text, mark));
    line = [];
    used = 0;
  };
  for (const [index, word] of words.entries()) {
    const gap = line.length === 0 ? 0 : gapBefore(words, index);
    const isLast = lines.length === linesMax - 1;
    const reserve = isLast && index < words.length - 1 ? 2 : 0;
    if (line.length > 0 && used + gap + word.columns > columns - reserve) {
      close();
      if (isLast) return [...lines.slice(0, -1), `${lines.at(-1)} …`];
    }
    used += (line.length === 0 ? 0 : gap) + word.columns;
    line.push(word);
  }
  if (line.length > 0) close();
  return lines;
}

/** Words with one space where there was white space; a mark that goes on in the next piece of a word is one. */
function lineText(words: readonly Word[], text: string, mark: (text: string) => string): string {
  let shown = "";
  let open = "";
  let at = words[0]?.start ?? 0;
  const show = (plain: string): void => {
    if (plain === "") return;
    shown += (open === "" ? "" : mark(open)) + plain;
    open = "";
  };
  for (const word of words) {
    if (word.start > at) show(" ");
    at = word.start;
    for (const range of word.marks) {
      show(text.slice(at, range.start));
      open += text.slice(range.start, range.end);
      at = range.end;
    }
    show(text.slice(at, word.end));
    at = word.end;
  }
  return shown + (open === "" ? "" : mark(open));
}
