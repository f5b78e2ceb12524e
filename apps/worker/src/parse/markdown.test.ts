import { expect, test } from "vitest";
import { parseMarkdown } from "./markdown.ts";

const read = async (text: string) => {
  const document = await parseMarkdown(Buffer.from(text));
  return { ...document, kinds: document.blocks.map(({ kind, level, start, end }) => [kind, document.text.slice(start, end), level ?? 0]) };
};

test("headings, prose, code, tables and lists, as a reader sees them", async () => {
  const { kinds, title } = await read(
    [
      "# Keeping *bees*",
      'See [the hive](https://example.org "title") and <b>bold</b> `a_b`, ![a queen](queen.png), \\* and &amp;.\nNext line.  \nBroken.',
      "Setext\n------",
      "```js\nconst a = '*';\n\nb();\n```",
      "    indented\n      code",
      "| a | b |\n| - | :-: |\n| 1 | *two*<br>2 |",
      "3. three\n4. four\n   - nested\n\n     more\n   - [x] done",
      "> quoted\n>\n> - in a quote",
      "<!-- hidden\n\nstill hidden --><p>shown</p>",
      "***",
      "[ref]: https://example.org\n\nBy [ref] and [text][ref].",
    ].join("\n\n"),
  );
  expect(title).toBe("Keeping bees");
  expect(kinds).toEqual([
    ["heading", "Keeping bees", 1],
    ["paragraph", "See the hive and bold a_b, a queen, * and &.\nNext line.\nBroken.", 0],
    ["heading", "Setext", 2],
    ["code", "const a = '*';\n\nb();", 0],
    ["code", "indented\n  code", 0],
    ["table", "a | b\n1 | two2", 0],
    ["list", "3. three\n4. four\n  - nested\nmore\n  - done", 0],
    ["paragraph", "quoted", 0],
    ["list", "- in a quote", 0],
    ["paragraph", "shown", 0],
    ["paragraph", "By ref and text.", 0],
  ]);
});

test("footnotes are read where they stand, whoever refers to them, and what only looks like one stays", async () => {
  const { text } = await read(
    "Bees dance[^1], `[^1]` and [^other].\n[^1]: word\n\n[^lonely]: Nobody refers to this\n    and it goes on.\n\n    [^2]: code",
  );
  expect(text).toBe("Bees dance, [^1] and [^other].\n\nword\n\nNobody refers to this\nand it goes on.\n\n[^2]: code");
});

test("front matter is metadata and its title goes before the heading; what is no mapping is text", async () => {
  expect(await read("---\ntitle: Bees\nyear: 2026\n---\n# Other\n")).toMatchObject({
    title: "Bees",
    metadata: { year: 2026 },
    text: "Other",
  });
  expect((await read("---\njust text\n---\n\nBody")).text).toContain("just text");
});

test.each(["> ", "- ", "1. "])("nothing is left out however deep it is nested: %j", async (mark) => {
  const { text } = await read(`${mark.repeat(5_000)}the innermost\n\nand after it`);
  expect(text).toContain("the innermost");
  expect(text).toContain("and after it");
});

test.each([
  ["brackets", "[".repeat(50_000)],
  ["emphasis", "*a **b ".repeat(20_000)],
  ["images", "![".repeat(50_000)],
  ["back quotes", Array.from({ length: 500 }, (_, index) => "`".repeat(index)).join(" ")],
  ["lists", "- ".repeat(20_000)],
  ["footnotes", "[^1]: ".repeat(10_000)],
])("hostile %s end soon", async (_, text) => {
  const since = performance.now();
  await read(`${text}end`);
  expect(performance.now() - since).toBeLessThan(10_000);
});
