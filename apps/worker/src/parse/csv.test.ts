import { expect, test } from "vitest";
import { blocksOf, describeParser } from "../../test/parser-conformance.ts";
import { parseCsv, parseTsv } from "./csv.ts";

const csv = async (text: string): Promise<string> => (await parseCsv(new TextEncoder().encode(text))).text;

describeParser("csv", parseCsv, new TextEncoder().encode('Name,City\n"Ann, a needle",Rome\nBob,Oslo\n'));

test("every row names its values", async () => {
  expect(await csv('Name,City,Note\n"Ann ""A"", Smith",Rome,"two\nlines"\nBob,,x,surplus\n')).toBe(
    'Name | City | Note\nName: Ann "A", Smith | City: Rome | Note: two lines\nName: Bob | Note: x | surplus',
  );
});

test("the separator is found, a table without header has none", async () => {
  expect(await csv("Name;Weight\nAnn;60,5\nBob;70,1\n")).toBe("Name | Weight\nName: Ann | Weight: 60,5\nName: Bob | Weight: 70,1");
  expect(await csv("1,2\n3,4\n")).toBe("1 | 2\n3 | 4");
  expect((await parseTsv(new TextEncoder().encode("a\tb\n1, 2\t3"))).text).toBe("a | b\na: 1, 2 | b: 3");
});

test("a quote that never ends loses nothing", async () => {
  expect(await csv('a,b\n1,"2\n3,4\n')).toBe('a,b\n1,"2\n3,4');
});

test("a large table is many blocks of whole rows", async () => {
  const rows = Array.from({ length: 1_200 }, (_, index) => `${index},name ${index}`);
  const blocks = blocksOf(await parseCsv(new TextEncoder().encode(`id,name\n${rows.join("\n")}`)));
  expect(blocks.length).toBe(3);
  expect(blocks.flatMap(([, text]) => text.split("\n")).slice(1)).toEqual(rows.map((_, index) => `id: ${index} | name: name ${index}`));
});
