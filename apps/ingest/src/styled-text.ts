/**
 * Colours where they are wanted: on a terminal that has some, unless NO_COLOR says otherwise (which `hasColors` looks at).
 * Text of strangers goes through `printable` or `snippetOf` first, so that no colour is theirs.
 */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  /** What matches the query. */
  match(text: string): string;
}

const plain: Style = { bold: (text) => text, dim: (text) => text, match: (text) => text };
const coloured: Style = {
  bold: (text) => `\u001b[1m${text}\u001b[22m`,
  dim: (text) => `\u001b[2m${text}\u001b[22m`,
  match: (text) => `\u001b[1;33m${text}\u001b[22;39m`,
};

export function styleFor(stream: { readonly isTTY?: boolean; hasColors?(): boolean }): Style {
  return stream.isTTY === true && stream.hasColors?.() === true ? coloured : plain;
}
