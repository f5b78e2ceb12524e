import fc from "fast-check";
import { expect, test } from "vitest";
import { snippetOf, wrappedLines } from "./snippet.ts";
import { styleFor } from "./styled-text.ts";

const mark = (text: string): string => `[${text}]`;
const rangesOf = (text: string, ...words: string[]) =>
  words
    .flatMap((word) => [...text.matchAll(new RegExp(word, "g"))].map(({ index }) => ({ start: index, end: index + word.length })))
    .sort((a, b) => a.start - b.start);

const filler = "Nothing of interest is said here at all.";
const long = [filler, filler, filler, "The mill grinds corn.", "Its stone turns slowly.", filler, "A mill again.", filler, filler].join(
  " ",
);

test("shows the densest marks, from the beginning of a sentence", () => {
  expect(snippetOf(long, rangesOf(long, "mill", "stone", "corn"), { columns: 40, linesMax: 2, mark })).toEqual([
    "… The [mill] grinds [corn]. Its [stone] turns",
    "slowly. Nothing of interest is said …",
  ]);
});

test("without marks it is the beginning", () => {
  expect(snippetOf(long, [], { columns: 30, linesMax: 1, mark })).toEqual(["Nothing of interest is said …"]);
  expect(snippetOf("All of it.", [], { columns: 30, linesMax: 2, mark })).toEqual(["All of it."]);
  expect(snippetOf("", [], { columns: 30, linesMax: 2, mark })).toEqual([]);
});

test("different marks count for more than the same one again and again", () => {
  const text = `mill mill mill mill mill. ${filler} ${filler} mill and stone and river.`;
  expect(snippetOf(text, rangesOf(text, "mill", "stone", "river"), { columns: 34, linesMax: 1, mark })[0]).toContain("[river]");
});

test("scripts without spaces are cut where the line ends", () => {
  const text = "川の水車小屋は古い。".repeat(6);
  const lines = snippetOf(text, rangesOf(text, "水車小屋").slice(0, 1), { columns: 20, linesMax: 2, mark });
  expect(lines[0]).toBe("川の[水車小屋]は古い。");
  expect(lines[1]).toMatch(/^川の.* …$/);
});

test("a stranger's text can neither colour nor move nor break a line", () => {
  const lines = snippetOf("one\u001b[31m\u202etwo\r\u2028three\u0007", [], { columns: 80, linesMax: 3, mark });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be there
  expect(lines.join("")).not.toMatch(/[\u0000-\u001f\u202e\u2028]/);
});

test("no line is longer than it may be, marks aside, and every mark is whole", () => {
  const word = fc.oneof(
    fc.constantFrom("mill", "river,", "end.", "水車", "🚰", "x".repeat(70)),
    fc.string({ unit: "grapheme", maxLength: 9 }),
  );
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 80 }),
      fc.integer({ min: 20, max: 90 }),
      fc.integer({ min: 1, max: 4 }),
      (words, columns, linesMax) => {
        const text = words.join(" ");
        const lines = snippetOf(text, rangesOf(text, "mill", "水"), { columns, linesMax, mark: (marked) => marked });
        expect(lines.length).toBeLessThanOrEqual(linesMax);
        for (const line of lines) expect(line.replace(/\P{ASCII}/gu, "").length).toBeLessThanOrEqual(columns);
        expect(wrappedLines(text, [], { columns, mark }).join("").replace(/\s/g, "")).toBe(withoutBlanks(text));
      },
    ),
  );
});

function withoutBlanks(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are not shown
  return text.replace(/[\s\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, "");
}

test("paragraphs stay apart in a whole text, and marks stay where they are", () => {
  const text = "The mill\nby the river.\n\n\nThe stone.";
  expect(wrappedLines(text, rangesOf(text, "mill", "river", "stone"), { columns: 40, mark })).toEqual([
    ...["The [mill]", "by the [river].", "", "The [stone]."],
  ]);
});

test("a sentence that was broken over the lines of a page is one again, code is not", () => {
  const text = "The Company also made adjustments to its expenses as\nrevenues fell.\n\nif (x) {\n  return;\n}";
  expect(wrappedLines(text, rangesOf(text, "revenues"), { columns: 90, mark })).toEqual([
    ...["The Company also made adjustments to its expenses as [revenues] fell.", "", "if (x) {", "return;", "}"],
  ]);
});

test("colours are for terminals that have some", () => {
  expect(styleFor({ isTTY: true, hasColors: () => true }).match("x")).toContain("\u001b[");
  for (const stream of [{}, { isTTY: true }, { isTTY: true, hasColors: () => false }, { hasColors: () => true }]) {
    expect(styleFor(stream).match("x")).toBe("x");
  }
});
