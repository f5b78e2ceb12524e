/** Made at its first use: it takes longer to make than most of this package to load. */
let segmenter: Intl.Segmenter | undefined;

/** The sentences of a text, verbatim and trimmed. A line end ends one only where a paragraph, a heading or an item of a list begins. */
export function sentencesOf(text: string): string[] {
  const sentences = segmenter ?? new Intl.Segmenter(undefined, { granularity: "sentence" });
  segmenter = sentences;
  return text
    .split(/\n\s*\n|\n(?=\s*(?:[-*+#>|]|\d+[.)]\s))/)
    .flatMap((block) =>
      // To the segmenter any line end is the end of a paragraph; a space instead keeps the offsets.
      Array.from(sentences.segment(block.replaceAll("\n", " ")), ({ index, segment }) => block.slice(index, index + segment.length).trim()),
    )
    .filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));
}

/** The words that carry meaning, in lower case and without common endings. */
export function contentWords(text: string): string[] {
  const words =
    text
      .normalize("NFKC")
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.filter((word) => !stopWords.has(word)).map(stem);
}

/** A crude stem: enough to see "keys" in "key"; language models do the rest. */
function stem(word: string): string {
  return word.length <= 3 ? word : word.replace(/(?:ies)$/, "y").replace(/(?<=[\p{L}]{3})(?:ing|ed|es|s)$/u, "");
}

const stopWords = new Set(
  (
    "a an and are as at be been but by can could did do does for from had has have how i if in into is it its me my of on or our should so " +
    "than that the their them then there these they this those to was we were what when where which who why will with would you your"
  ).split(" "),
);
