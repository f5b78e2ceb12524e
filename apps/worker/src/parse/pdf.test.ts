import { expect, test } from "vitest";
import { makePage, makePages, makePdf, stream } from "../../test/pdf.ts";
import { parsePdf } from "./pdf.ts";

const { push } = Array.prototype;
const salmon = "BT /F1 12 Tf 72 720 Td (Spawning salmon) Tj ET";

/** One page that shows the content in this font. */
function withFont(font: string, content: string, ...more: (string | Uint8Array)[]): Uint8Array {
  const page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>/Contents 5 0 R>>";
  return makePdf([
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Count 1/Kids[4 0 R]>>",
    font,
    page,
    stream(`BT /F1 12 Tf 72 720 Td ${content} ET`),
    ...more,
  ]);
}

async function textOf(bytes: Uint8Array): Promise<string> {
  return (await parsePdf(bytes, 1)).document.text;
}

test("a page gives its text, and the document what it says of itself", async () => {
  const bytes = makePdf(
    [
      "<</Type/Catalog/Pages 2 0 R>>",
      "<</Type/Pages/Count 1/Kids[4 0 R]>>",
      "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
      "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>/Contents 5 0 R>>",
      stream(salmon),
      "<</Title<FEFF00DC006200650072>/Author(Nobody)/CreationDate(D:20220228171927-05'00')>>",
    ],
    "/Info 6 0 R",
  );
  const { document, nextPage } = await parsePdf(bytes, 1);
  expect(document).toMatchObject({
    text: "Spawning salmon",
    title: "Über",
    metadata: { pages: 1, author: "Nobody", created: "D:20220228171927-05'00'" },
  });
  expect(nextPage).toBeUndefined();
});

test("the first part is short, since the model waits for it", async () => {
  const bytes = makePages(40, () => salmon);
  const first = await parsePdf(bytes, 1);
  expect(first.document.pageStarts).toHaveLength(16);
  const second = await parsePdf(bytes, first.nextPage ?? 1);
  expect(second.document).toMatchObject({ firstPage: 17, pageStarts: { length: 24 } });
  expect(second.nextPage).toBeUndefined();
});

test("a word that is broken at the end of a line stays as it is printed, and the mark of a list item begins a line", async () => {
  const font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>";
  const content = "14 TL (a forward-) Tj T* (looking statement of \\225 salmon) Tj";
  expect(await textOf(withFont(font, content))).toBe("a forward-\nlooking statement of\n• salmon");
});

test("a character of two units is one, and costs none of those behind it", async () => {
  const map = `begincmap 1 begincodespacerange <00> <ff> endcodespacerange
    2 beginbfchar <61> <D83DDC1F> <62> <0062> endbfchar endcmap`;
  const font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 6 0 R>>";
  expect(await textOf(withFont(font, "(aabaab) Tj", stream(map)))).toBe("🐟🐟b🐟🐟b");
});

test("Japanese in an encoding that is known by its name alone", async () => {
  const descendant = `<</Type/Font/Subtype/CIDFontType0/BaseFont/Ryumin-Light/DW 1000
    /CIDSystemInfo<</Registry(Adobe)/Ordering(Japan1)/Supplement 2>>>>`;
  const font = `<</Type/Font/Subtype/Type0/BaseFont/Ryumin-Light/Encoding/90ms-RKSJ-H/DescendantFonts[${descendant}]>>`;
  expect(await textOf(withFont(font, "<8DF882CD90EC82F08FE382E9> Tj"))).toBe("鮭は川を上る");
});

test("a file that ends too soon gives what is there, and leaves the process the built-in functions it had", async () => {
  const whole = makePages(2, () => salmon);
  const end = Buffer.from(whole).indexOf(">>\nstartxref");
  expect(await textOf(whole.slice(0, end))).toBe("Spawning salmon\n\nSpawning salmon");
  expect(Array.prototype.push).toBe(push);
});

test("what no library makes anything of is damaged, and the next file is read all the same", async () => {
  await expect(textOf(makePages(1, () => salmon).slice(0, 200))).rejects.toMatchObject({ code: "parse.damaged" });
  expect(await textOf(makePage(salmon))).toBe("Spawning salmon");
});
