import fc from "fast-check";
import { expect, it } from "vitest";
import { quoteFor } from "./quote.ts";
import { sentencesOf } from "./sentences.ts";

it("goes on over the ends of lines, and ends where a paragraph or an item does", () => {
  const text = "# Bees\n\nHoney bees dance to\ntell the way. They rest.\n- one item\n- another item";
  expect(sentencesOf(text)).toEqual(["# Bees", "Honey bees dance to\ntell the way.", "They rest.", "- one item", "- another item"]);
});

it("takes sentences and quotes verbatim from the text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string(), (text, statement) => {
      for (const sentence of sentencesOf(text)) expect(text).toContain(sentence);
      expect(text).toContain(quoteFor(statement, text));
    }),
  );
});
