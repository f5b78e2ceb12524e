import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as ModelTokenizer } from "@huggingface/tokenizers";
import { copied, type TokenCounter } from "@millrace/core";

/**
 * The model's own tokenizer. A BERT tokenizer never joins across white space, so a text's ids are the ids of its words one after another; words repeat,
 * so their ids are remembered, and most of a corpus costs a map look-up.
 */
export interface Tokenizer extends TokenCounter {
  /** Ids of `text` with the special tokens around them. */
  encode(text: string): number[];
}

/** The memo, then some 9 MB, forgets everything at this size; the frequent words are back within a few documents. */
const wordsRememberedMax = 30_000;
/** Longer runs are rarely repeated. */
const wordCharsMax = 32;
/** What BERT calls white space: unlike JavaScript's \s it takes in neither U+FEFF nor the line separators' relatives. */
const words = /[^\t\n\r \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+/g;

/** Printable ASCII but for "[", with which special tokens begin. */
const plainWord = /^[!-Z\\-~]+$/;
/** In those, a BERT tokenizer takes every mark for a word of its own. */
const partsOfPlainWord = /[0-9A-Za-z]+|[^0-9A-Za-z]/g;

/** By the part of transformers.js that this is about: the whole takes 15 MB and a quarter of a second in every process. */
export function loadTokenizer(modelFolder: string): Tokenizer {
  const read = (name: string): object => JSON.parse(readFileSync(join(modelFolder, name), "utf8"));
  const json = read("tokenizer.json");
  const tokenizer = new ModelTokenizer(json, read("tokenizer_config.json"));
  const idsOf = (text: string): number[] => tokenizer.encode(text, { add_special_tokens: false }).ids;
  const piecesOf = wordPieces(json as BertTokenizerJson, (piece) => tokenizer.token_to_id(piece));
  const [prefix, suffix] = specialTokens(tokenizer.encode("a").ids, idsOf("a"));
  const remembered = new Map<string, number[]>();
  const wordIds = (word: string): number[] => {
    const known = remembered.get(word);
    if (known !== undefined) return known;
    const parts = plainWord.test(word) ? (word.match(partsOfPlainWord) ?? []) : [];
    const ids = parts.length > 1 ? parts.flatMap(wordIds) : ((parts.length === 1 ? piecesOf(word) : undefined) ?? idsOf(word));
    if (word.length <= wordCharsMax) {
      if (remembered.size >= wordsRememberedMax) remembered.clear();
      remembered.set(copied(word), ids);
    }
    return ids;
  };
  return {
    specialTokens: prefix.length + suffix.length,
    // The chunker asks for word after word, most of them known.
    count: (text) => remembered.get(text)?.length ?? (text.match(words) ?? []).reduce((sum, word) => sum + wordIds(word).length, 0),
    encode: (text) => {
      const ids = [...prefix];
      for (const word of text.match(words) ?? []) for (const id of wordIds(word)) ids.push(id);
      ids.push(...suffix);
      return ids;
    },
  };
}

interface BertTokenizerJson {
  readonly model: { readonly continuing_subword_prefix: string; readonly max_input_chars_per_word: number };
  readonly normalizer: { readonly lowercase: boolean };
}

/**
 * Ids of a plain word that has no marks inside, as WordPiece finds them: the longest entry of the vocabulary that the rest of the word begins with, again and again. The
 * library joins single characters for every length it tries, which took as long as all the rest of cutting a document whose words are new.
 * @returns a function that gives undefined for a word that the vocabulary cannot spell
 */
function wordPieces(
  { model, normalizer }: BertTokenizerJson,
  idOf: (piece: string) => number | undefined,
): (word: string) => number[] | undefined {
  const { continuing_subword_prefix: continued, max_input_chars_per_word: charsMax } = model;
  return (word) => {
    if (word.length > charsMax) return undefined;
    const spelled = normalizer.lowercase ? word.toLowerCase() : word;
    const ids: number[] = [];
    for (let start = 0; start < spelled.length; ) {
      let end = spelled.length;
      let id: number | undefined;
      for (; end > start; end--) {
        id = idOf((start === 0 ? "" : continued) + spelled.slice(start, end));
        if (id !== undefined) break;
      }
      if (id === undefined) return undefined;
      ids.push(id);
      start = end;
    }
    return ids;
  };
}

/** What the tokenizer puts before and after the ids of a text. */
function specialTokens(withSpecial: number[], plain: number[]): [prefix: number[], suffix: number[]] {
  const at = withSpecial.indexOf(plain[0] ?? -1);
  return [withSpecial.slice(0, at), withSpecial.slice(at + plain.length)];
}
