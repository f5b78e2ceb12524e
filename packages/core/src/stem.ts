/**
 * The stem of an English word: M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the two rules (-bli, -logi) that he added later. It only ever sees words of a–z; both the
 * index and the query go through it, so what matters is that inflected forms meet, not that a stem is a word.
 *
 * @param word lower case
 */
export function stem(word: string): string {
  if (word.length <= 2 || !/^[a-z]+$/.test(word)) return word;
  const singular = dropPlural(word);
  const present = dropPastAndGerund(singular);
  const base = /y$/.test(present) && hasVowel(present.slice(0, -1)) ? `${present.slice(0, -1)}i` : present;
  return tidyEnd(dropSuffix(replaceSuffix(replaceSuffix(base, derived), adjectival)));
}

function dropPlural(word: string): string {
  if (word.endsWith("sses") || word.endsWith("ies")) return word.slice(0, -2);
  return word.endsWith("s") && !word.endsWith("ss") ? word.slice(0, -1) : word;
}

function dropPastAndGerund(word: string): string {
  if (word.endsWith("eed")) return measure(word.slice(0, -3)) > 0 ? word.slice(0, -1) : word;
  const rest = /^(.*)(?:ed|ing)$/.exec(word)?.[1];
  if (rest === undefined || !hasVowel(rest)) return word;
  if (/(?:at|bl|iz)$/.test(rest)) return `${rest}e`;
  if (/([^aeioulsz])\1$/.test(rest) && endsInDoubleConsonant(rest)) return rest.slice(0, -1);
  return measure(rest) === 1 && endsInShortSyllable(rest) ? `${rest}e` : rest;
}

/** Longest first where one is the end of another. */
const derived: readonly (readonly [suffix: string, by: string])[] = [
  ["ational", "ate"],
  ["tional", "tion"],
  ["enci", "ence"],
  ["anci", "ance"],
  ["izer", "ize"],
  ["bli", "ble"],
  ["alli", "al"],
  ["entli", "ent"],
  ["eli", "e"],
  ["ousli", "ous"],
  ["ization", "ize"],
  ["ation", "ate"],
  ["ator", "ate"],
  ["alism", "al"],
  ["iveness", "ive"],
  ["fulness", "ful"],
  ["ousness", "ous"],
  ["aliti", "al"],
  ["iviti", "ive"],
  ["biliti", "ble"],
  ["logi", "log"],
];
const adjectival: readonly (readonly [suffix: string, by: string])[] = [
  ["icate", "ic"],
  ["ative", ""],
  ["alize", "al"],
  ["iciti", "ic"],
  ["ical", "ic"],
  ["ful", ""],
  ["ness", ""],
];

function replaceSuffix(word: string, table: readonly (readonly [suffix: string, by: string])[]): string {
  for (const [suffix, by] of table) {
    if (!word.endsWith(suffix)) continue;
    const rest = word.slice(0, -suffix.length);
    return measure(rest) > 0 ? rest + by : word;
  }
  return word;
}

function dropSuffix(word: string): string {
  const match = /^(.*?)(ement|ance|ence|able|ible|ment|ant|ent|ism|ate|iti|ous|ive|ize|(?<=[st])ion|al|er|ic|ou)$/.exec(word);
  return match?.[1] !== undefined && measure(match[1]) > 1 ? match[1] : word;
}

function tidyEnd(word: string): string {
  let tidy = word;
  if (tidy.endsWith("e")) {
    const rest = tidy.slice(0, -1);
    if (measure(rest) > 1 || (measure(rest) === 1 && !endsInShortSyllable(rest))) tidy = rest;
  }
  return tidy.endsWith("ll") && measure(tidy.slice(0, -1)) > 1 ? tidy.slice(0, -1) : tidy;
}

/** One letter per letter: v for a vowel, c for a consonant. A y is a vowel after a consonant. */
function shape(word: string): string {
  let letters = "";
  for (const letter of word) letters += /[aeiou]/.test(letter) || (letter === "y" && letters.endsWith("c")) ? "v" : "c";
  return letters;
}

function hasVowel(word: string): boolean {
  return shape(word).includes("v");
}

/** How often a vowel is followed by a consonant: the m of the paper. */
function measure(word: string): number {
  return shape(word).match(/v+c+/g)?.length ?? 0;
}

function endsInDoubleConsonant(word: string): boolean {
  return shape(word).endsWith("cc");
}

/** Consonant, vowel, consonant, the last of which is not w, x or y. */
function endsInShortSyllable(word: string): boolean {
  return shape(word).endsWith("cvc") && !/[wxy]$/.test(word);
}
