import fc from "fast-check";
import { expect, it } from "vitest";
import { textOf } from "./document-text.ts";

const text = "Bees dance. They fly far.\n\nA hive is warm. Wax is made by bees.";
const chunk = (start: number, end: number) => ({ text: text.slice(start, end), span: { start, end } });

it("has each character once, however the chunks overlap", () => {
  const cuts = fc.array(fc.tuple(fc.nat(text.length), fc.nat(12)), { maxLength: 8 });
  fc.assert(
    fc.property(cuts, (at) => {
      const ends = [...new Set([...at.map(([end]) => end), text.length])].filter((end) => end > 0).sort((a, b) => a - b);
      const chunks = ends.map((end, index) => chunk(Math.max(0, (ends[index - 1] ?? 0) - (at[index]?.[1] ?? 0)), end));
      expect(textOf(chunks)).toBe(text);
    }),
  );
});

it("begins in the middle too, and puts a line end where white space was left out", () => {
  expect(textOf([chunk(12, 25), chunk(27, 42)])).toBe("They fly far.\nA hive is warm.");
  expect(textOf([])).toBe("");
});
