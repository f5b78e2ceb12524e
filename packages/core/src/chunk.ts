import { headerFor } from "./chunk-header.ts";
import type { Chunk, ParsedDocument } from "./document.ts";
import { DocumentError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { TokenCounter } from "./ports.ts";

/**
 * Cuts a parsed document into chunks that the embedding model can read whole.
 *
 * The text is seen as a run of units (words; runs without spaces are cut into pieces), each with its token count and the strength of
 * the boundary before it. A chunk takes units greedily up to the token limit and then ends at the strongest boundary in its second
 * half: paragraph, else sentence or line, else word. A page always ends a chunk, so that a hit's page number is right for all of it. A heading
 * ends one that holds `tokensMin` tokens, so that short sections are joined and long ones keep their own chunks. Unless a section ends there, the next chunk
 * repeats up to `tokensOverlap` tokens, beginning at a sentence where one fits.
 *
 * Invariants: `chunk.text === document.text.slice(span)`; spans are in order; together they cover every non-space character;
 * no chunk has more than `tokensMax` tokens, its header included.
 */
export interface ChunkingOptions {
  /** Tokens per chunk at most, the model's special tokens included. */
  readonly tokensMax: number;
  readonly tokensOverlap: number;
  readonly tokensMin: number;
}

/** @throws DocumentError `chunk.too_many`, or `chunk.token_limit` when the limit cannot hold a single character */
export function chunkDocument(document: ParsedDocument, tokens: TokenCounter, options: ChunkingOptions): Chunk[] {
  const budget = options.tokensMax - tokens.specialTokens;
  const units = unitsOf(document, tokens, budget);
  const paths = headingPaths(document);
  const chunks: Chunk[] = [];
  let first = 0;
  while (first < units.length) {
    if (chunks.length >= limits.chunksPerDocumentMax) {
      throw new DocumentError("chunk.too_many", `More than ${limits.chunksPerDocumentMax} chunks`, { hint: "Split the document." });
    }
    const { text, tokenCount, end } = fitChunk(
      document.text,
      units,
      first,
      chunkEnd(units, first, budget, options.tokensMin),
      tokens,
      budget,
    );
    const span = { start: units.start(first), end: units.end(end - 1) };
    const headings = paths.at(span.start);
    const header = headerFor({ title: document.title ?? "", headings, text }, budget - tokenCount, tokens);
    chunks.push({
      ordinal: chunks.length,
      text,
      span,
      tokens: tokenCount + tokens.specialTokens,
      ...(document.pageStarts === undefined ? {} : { page: (document.firstPage ?? 1) - 1 + countUpTo(document.pageStarts, span.start) }),
      headings,
      ...(header === undefined ? {} : { header }),
    });
    first = end < units.length ? overlapStart(units, first, end, options.tokensOverlap) : end;
  }
  return chunks;
}

/** How well the text may be cut before a unit. */
const boundary = { insideWord: 0, word: 1, sentence: 2, block: 3, section: 4, page: 5 } as const;

/** A piece of a word without spaces is at most this long, so that no unit is a large share of a chunk. */
const unitCharsMax = 64;

/** Parallel arrays, not objects: a large document has millions of units. */
class Units {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #boundaries: number[] = [];
  /** Token counts summed from the first unit, so that a range costs one subtraction. */
  readonly #tokensBefore: number[] = [0];

  get length(): number {
    return this.#starts.length;
  }
  push(start: number, end: number, strength: number, tokenCount: number): void {
    this.#starts.push(start);
    this.#ends.push(end);
    this.#boundaries.push(strength);
    this.#tokensBefore.push((this.#tokensBefore.at(-1) ?? 0) + tokenCount);
  }
  start(index: number): number {
    return this.#starts[index] ?? 0;
  }
  end(index: number): number {
    return this.#ends[index] ?? 0;
  }
  boundaryBefore(index: number): number {
    return this.#boundaries[index] ?? boundary.page;
  }
  /** Tokens of the units [from, to). */
  tokens(from: number, to: number): number {
    return (this.#tokensBefore[to] ?? 0) - (this.#tokensBefore[from] ?? 0);
  }
}

function unitsOf(document: ParsedDocument, tokens: TokenCounter, budget: number): Units {
  // A character can take several tokens (bytes of a rare one, parts of a Hangul syllable); four is the most that known tokenizers need.
  const pieceCharsMax = Math.max(1, Math.min(unitCharsMax, Math.floor(budget / 4)));
  const units = new Units();
  const pageStarts = document.pageStarts ?? [];
  let page = 0;
  let afterHeading = false;
  for (const block of document.blocks) {
    const lineBased = block.kind !== "paragraph" && block.kind !== "heading";
    // What follows a heading belongs to it: cutting there would leave the heading behind alone.
    let strength: number = block.kind === "heading" ? boundary.section : afterHeading ? boundary.word : boundary.block;
    const word = /\S+/g;
    const text = document.text.slice(block.start, block.end);
    let previousEnd = 0;
    for (let match = word.exec(text); match !== null; match = word.exec(text)) {
      const gap = text.slice(previousEnd, match.index);
      if (previousEnd > 0) {
        const newLine = lineBased && gap.includes("\n");
        strength = newLine || endsSentence(text, previousEnd) ? boundary.sentence : boundary.word;
      }
      const start = block.start + match.index;
      if (start >= (pageStarts[page] ?? Number.POSITIVE_INFINITY)) {
        if (page > 0) strength = boundary.page;
        while (start >= (pageStarts[page] ?? Number.POSITIVE_INFINITY)) page++;
      }
      for (const piece of piecesOf(match[0], pieceCharsMax)) {
        const tokenCount = tokens.count(match[0].slice(piece.start, piece.end));
        if (tokenCount > budget) {
          throw new DocumentError(
            "chunk.token_limit",
            `A piece of ${piece.end - piece.start} characters needs ${tokenCount} tokens, more than the limit of ${budget}`,
            {
              hint: "Raise MILLRACE_CHUNK_TOKENS_MAX.",
            },
          );
        }
        units.push(start + piece.start, start + piece.end, piece.start === 0 ? strength : piece.strength, tokenCount);
      }
      previousEnd = match.index + match[0].length;
    }
    afterHeading = block.kind === "heading";
  }
  return units;
}

/** Whether the text before `end` closes a sentence: a full stop, question or exclamation mark, perhaps within quotes or brackets. */
function endsSentence(text: string, end: number): boolean {
  let index = end - 1;
  while (index > 0 && "\"')]}»”’".includes(text[index] ?? "")) index--;
  return ".!?…。！？".includes(text[index] ?? "");
}

/** Cuts a long run without spaces: after CJK sentence marks where possible, never between the halves of a surrogate pair. */
function* piecesOf(word: string, charsMax: number): Generator<{ start: number; end: number; strength: number }> {
  let start = 0;
  let strength: number = boundary.insideWord;
  while (start < word.length) {
    let end = Math.min(start + charsMax, word.length);
    const mark = word.slice(start, end).search(/[。！？]./u);
    const atMark = mark >= 0;
    if (atMark) end = start + mark + 1;
    else if (end < word.length && /[\uD800-\uDBFF]/.test(word[end - 1] ?? "") && end - 1 > start) end--;
    else if (end < word.length && /[\uD800-\uDBFF]/.test(word[end - 1] ?? "")) end++;
    yield { start, end, strength };
    strength = atMark ? boundary.sentence : boundary.insideWord;
    start = end;
  }
}

/** Index after the last unit of the chunk that begins at `first`. */
function chunkEnd(units: Units, first: number, budget: number, tokensMin: number): number {
  let end = first + 1;
  while (end < units.length && units.tokens(first, end + 1) <= budget) {
    const strength = units.boundaryBefore(end);
    if (strength === boundary.page || (strength === boundary.section && units.tokens(first, end) >= tokensMin)) return end;
    end++;
  }
  if (end === units.length) return end;
  for (const strength of [boundary.section, boundary.block, boundary.sentence, boundary.word]) {
    for (let cut = end; cut > first && units.tokens(first, cut) * 2 >= budget; cut--) {
      if (units.boundaryBefore(cut) >= strength) return cut;
    }
  }
  return end;
}

/**
 * The chunk's text with its exact token count. Counts add up over words except where the tokenizer sees a word boundary differently
 * (invisible characters), so the whole is counted again and shortened if it must be.
 */
function fitChunk(
  text: string,
  units: Units,
  first: number,
  proposedEnd: number,
  tokens: TokenCounter,
  budget: number,
): { text: string; tokenCount: number; end: number } {
  for (let end = proposedEnd; ; end--) {
    const slice = text.slice(units.start(first), units.end(end - 1));
    const tokenCount = tokens.count(slice);
    if (tokenCount <= budget || end === first + 1) return { text: slice, tokenCount, end };
  }
}

/** Where the next chunk begins: some units before `end`, so that a sentence cut off from its context stands whole in one of the two. */
function overlapStart(units: Units, first: number, end: number, tokensOverlap: number): number {
  if (units.boundaryBefore(end) >= boundary.section) return end;
  let earliest = end;
  let sentence = end;
  while (earliest - 1 > first && units.tokens(earliest - 1, end) <= tokensOverlap) {
    earliest--;
    if (units.boundaryBefore(earliest) >= boundary.sentence) sentence = earliest;
    if (units.boundaryBefore(earliest) >= boundary.section) break;
  }
  if (sentence < end) return sentence;
  return units.boundaryBefore(end) >= boundary.sentence ? end : earliest;
}

/** Heading paths by position: the headings in force at an offset, one that begins there included. */
function headingPaths(document: ParsedDocument): { at(offset: number): readonly string[] } {
  const starts: number[] = [];
  const paths: (readonly string[])[] = [[]];
  let open: { level: number; title: string }[] = [];
  for (const block of document.blocks) {
    if (block.kind !== "heading") continue;
    const level = block.level ?? 1;
    const title = document.text.slice(block.start, block.end).replace(/\s+/g, " ").trim();
    open = [...open.filter((heading) => heading.level < level), { level, title }];
    starts.push(block.start);
    paths.push(open.map((heading) => heading.title));
  }
  return { at: (offset) => paths[countUpTo(starts, offset)] ?? [] };
}

/** How many of the ascending `values` are at most `limit`. */
function countUpTo(values: readonly number[], limit: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((values[middle] ?? 0) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
