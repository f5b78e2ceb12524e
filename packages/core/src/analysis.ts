import { copied } from "./copied.ts";
import { stem } from "./stem.ts";

/**
 * Text analysis for keyword search: how a text becomes the terms that BM25 counts. Done here and not by the vector store's analyzer, because
 * Milvus and Milvus Lite have different ones (Lite knows neither stemming nor scripts without spaces), and because highlights must agree with what
 * was matched. Stores index the terms joined by spaces; their standard analyzers take such a text apart again at the spaces.
 *
 * Words are runs of letters and digits, in lower case, without diacritics, stemmed where they are of Latin letters. Scripts without spaces between words give
 * their overlapping pairs of characters.
 */
export interface Term {
  readonly term: string;
  /** Half-open range of UTF-16 code units in the analysed text. */
  readonly start: number;
  readonly end: number;
}

/** Raise it when the same text gives other terms: rows that were written before would not be found by them. */
export const analysisVersion = 1;

export function termsOf(text: string): Term[] {
  const terms: Term[] = [];
  for (const match of text.matchAll(words)) {
    const start = match.index;
    const word = match[0];
    if (unspaced.test(word)) for (const term of mixedTerms(word, start)) terms.push(term);
    else for (const term of normalise(word)) terms.push({ term, start, end: start + word.length });
  }
  return terms;
}

/** The terms of a text in order, with a space between them: what a row is indexed by, in a third of the time, as nobody asks where they stand. */
export function joinedTermsOf(text: string): string {
  let joined = "";
  for (const word of text.match(words) ?? []) {
    const terms = unspaced.test(word) ? [...mixedTerms(word, 0)].map(({ term }) => term) : normalise(word);
    for (const term of terms) joined += joined === "" ? term : ` ${term}`;
  }
  return joined;
}

/**
 * The terms to search for: each once, in order. Words that nearly every text has are left out, since they cost a pass over nearly every row and tell nothing;
 * but not where there are no others ("to be or not to be").
 */
export function queryTermsOf(query: string): string[] {
  const terms = [...new Set(termsOf(query).map(({ term }) => term))];
  const telling = terms.filter((term) => !stopTerms.has(term));
  return telling.length > 0 ? telling : terms;
}

const words = /[\p{L}\p{N}\p{M}]+/gu;
const unspaced = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}ー\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;
const runs = new RegExp(`${unspaced.source}+|(?:(?!${unspaced.source}).)+`, "gsu");

/** Terms of a run of letters some of which are of a script without spaces. */
function* mixedTerms(word: string, offset: number): Generator<Term> {
  for (const match of word.matchAll(runs)) {
    const start = offset + match.index;
    if (unspaced.test(match[0])) yield* pairsOf(match[0], start);
    else for (const term of normalise(match[0])) yield { term, start, end: start + match[0].length };
  }
}

/** Words repeat, so most of a text costs a look-up each. The memo forgets everything at this size. */
const remembered = new Map<string, readonly string[]>();
const rememberedMax = 50_000;
const rememberedCharsMax = 32;

/** The terms of a word: one, or those of a compatibility form that holds what separates terms ("½" is "1⁄2"). */
function normalise(word: string): readonly string[] {
  const known = remembered.get(word);
  if (known !== undefined) return known;
  if (word.length > rememberedCharsMax) return foldedTerms(word);
  if (remembered.size >= rememberedMax) remembered.clear();
  const own = copied(word);
  const terms = foldedTerms(own);
  remembered.set(own, terms);
  return terms;
}

function foldedTerms(word: string): readonly string[] {
  const folded = word
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .normalize("NFKC");
  return folded.split(/[^\p{L}\p{N}\p{M}]+/u).flatMap((part) => (part === "" ? [] : [stem(part)]));
}

function* pairsOf(run: string, offset: number): Generator<Term> {
  const characters = [...run];
  let start = offset;
  for (const [index, character] of characters.entries()) {
    const next = characters[index + 1];
    if (next !== undefined || characters.length === 1) {
      const pair = character + (next ?? "");
      yield { term: pair.normalize("NFKC"), start, end: start + pair.length };
    }
    start += character.length;
  }
}

const stopTerms: ReadonlySet<string> = new Set(
  (
    "a about above after again all also am an and any anybody anyone anything are as at be because been before being below between both but by can could did do does doing done down " +
    "during each either ever every few for from further get had has have having he her here hers him his how however i if in into is it its itself just me more most my neither no nor " +
    "not of off on once one only or other our out over own per same she should so some such than that the their them then there these they this those through to too under until up upon us very was " +
    "we were what when where whether which while who whom whose why will with within without would you your"
  )
    .split(" ")
    .map(stem),
);
