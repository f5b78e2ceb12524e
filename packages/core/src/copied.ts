/** The same string in memory of its own: V8 takes a word out of a text by pointing into it, and whoever keeps the word keeps the text. */
export function copied(word: string): string {
  return Buffer.from(word, "utf16le").toString("utf16le");
}
