import { expect, test } from "vitest";
import { blocksOf, describeParser } from "../../test/parser-conformance.ts";
import { parseNotes } from "./template.ts";

const sample = new TextEncoder().encode("notes 1\n# Haystack\nThere is a needle.\n## Depth\n\nAnd hay.\n");

describeParser("the template", parseNotes, sample);

test("marked lines are headings, other lines paragraphs", async () => {
  expect(blocksOf(await parseNotes(sample))).toEqual([
    ["heading 1", "Haystack"],
    ["paragraph", "There is a needle."],
    ["heading 2", "Depth"],
    ["paragraph", "And hay."],
  ]);
});

test("what is not of the format says so", async () => {
  await expect(parseNotes(new TextEncoder().encode("# Haystack"))).rejects.toMatchObject({ code: "parse.damaged" });
});
