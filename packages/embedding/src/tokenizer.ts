import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as ModelTokenizer } from "@huggingface/tokenizers";
import type { TokenCounter } from "@millrace/core";

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
  const tokenizer = new ModelTokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
  const idsOf = (text: string): number[] => tokenizer.encode(text, { add_special_tokens: false }).ids;
  const [prefix, suffix] = specialTokens(tokenizer.encode("a").ids, idsOf("a"));
  const remembered = new Map<string, number[]>();
  const wordIds = (word: string): number[] => {
    const known = remembered.get(word);
    if (known !== undefined) return known;
    const parts = plainWord.test(word) ? (word.match(partsOfPlainWord) ?? []) : [];
    const ids = parts.length > 1 ? parts.flatMap(wordIds) : idsOf(word);
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

/** V8 takes a word out of a text by pointing into it: whoever keeps the word keeps the text. */
function copied(word: string): string {
  return Buffer.from(word, "utf16le").toString("utf16le");
}

/** What the tokenizer puts before and after the ids of a text. */
function specialTokens(withSpecial: number[], plain: number[]): [prefix: number[], suffix: number[]] {
  const at = withSpecial.indexOf(plain[0] ?? -1);
  return [withSpecial.slice(0, at), withSpecial.slice(at + plain.length)];
}
