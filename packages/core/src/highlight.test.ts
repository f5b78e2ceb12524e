import fc from "fast-check";
import { expect, test } from "vitest";
import { highlighter } from "./highlight.ts";

const marked = (query: string, text: string): string[] => highlighter(query)(text).map(({ start, end }) => text.slice(start, end));

test.each([
  ["rotate the keys", "Keys are rotated; rotation of a key takes the time it takes.", ["Keys", "rotated", "rotation", "key"]],
  ["naive", "A NAÏVE plan.", ["NAÏVE"]],
  ["of the", "of the mill", ["of", "the"]],
  ["水車小屋", "川の水車小屋は古い。", ["水車小屋"]],
  ["水車", "水車と水車", ["水車", "水車"]],
  ["mill", "🚰 the mill 🚰 mill", ["mill", "mill"]],
  ["nothing", "at all", []],
])("%s", (query, text, expected) => {
  expect(marked(query, text)).toEqual(expected);
});

test("ranges are in order, apart from each other, and within the text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), fc.string({ unit: "grapheme", maxLength: 300 }), (query, filler) => {
      const text = `${filler} ${query} ${filler}`;
      let end = -1;
      for (const range of highlighter(query)(text)) {
        expect(range.start).toBeGreaterThan(end);
        expect(range.end).toBeGreaterThan(range.start);
        end = range.end;
      }
      expect(end).toBeLessThanOrEqual(text.length);
    }),
  );
});
