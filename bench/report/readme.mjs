import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./results.mjs";

/** Puts `markdown` between `<!-- bench:<section> -->` and `<!-- /bench:<section> -->` of the README. @throws Error when the markers are not there */
export function updateReadme(section, markdown, path = join(root, "README.md")) {
  writeFileSync(path, replaceSection(readFileSync(path, "utf8"), section, markdown));
}

export function replaceSection(text, section, markdown) {
  const [open, close] = [`<!-- bench:${section} -->`, `<!-- /bench:${section} -->`];
  const [start, end] = [text.indexOf(open), text.indexOf(close)];
  if (start < 0 || end < start) throw new Error(`No ${open} … ${close} in the text`);
  return `${text.slice(0, start + open.length)}\n${markdown.trim()}\n${text.slice(end)}`;
}
