/**
 * Tokens of a text for a language model whose tokenizer is not known, rather too many than too few: byte-pair vocabularies have about four bytes
 * of English to a token, and three of most other scripts.
 */
export function estimateTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 3);
}
