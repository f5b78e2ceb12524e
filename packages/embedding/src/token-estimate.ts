import type { TokenCounter } from "@millrace/core";

/**
 * Counts tokens without a tokenizer, rather too many than too few: three letters or digits to a token, every other ASCII character one of its own, and two
 * bytes of UTF-8 to a token beyond ASCII. Chunks become smaller than they could be; a tokenizer folder makes them exact.
 */
export const estimatedTokens: TokenCounter = {
  specialTokens: 4,
  count(text) {
    let sum = 0;
    for (const [word] of text.matchAll(/[A-Za-z0-9]+|[^\sA-Za-z0-9]+/g)) {
      const first = word.charCodeAt(0);
      const alphanumeric = first < 128 && /[A-Za-z0-9]/.test(word[0] ?? "");
      sum += alphanumeric ? Math.ceil(word.length / 3) : otherTokens(word);
    }
    return sum;
  },
};

function otherTokens(run: string): number {
  let ascii = 0;
  for (let index = 0; index < run.length; index++) if (run.charCodeAt(index) < 128) ascii++;
  return ascii + Math.ceil((Buffer.byteLength(run) - ascii) / 2);
}
