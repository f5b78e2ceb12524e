import { deflateSync } from "node:zlib";
import type { MediaType } from "@millrace/core";
import { strToU8, zipSync } from "fflate";
import { makeDocx, paragraph } from "../docx.ts";
import { makePage, makePages, makePdf, stream, textContent } from "../pdf.ts";

export interface HostileFile {
  readonly name: string;
  readonly mediaType: MediaType;
  readonly bytes: Uint8Array;
  /** The outcome it must have, where one is the only right one. */
  readonly code?: string | RegExp;
}

const docxType = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Files that want more memory, time, depth, pages or rights than they may have. */
export function* bombs(): Generator<HostileFile> {
  const pdf = (name: string, bytes: Uint8Array, code?: HostileFile["code"]): HostileFile => {
    return { name: `pdf ${name}`, mediaType: "application/pdf", bytes, ...(code === undefined ? {} : { code }) };
  };
  const docx = (name: string, bytes: Uint8Array, code?: HostileFile["code"]): HostileFile => {
    return { name: `docx ${name}`, mediaType: docxType, bytes, ...(code === undefined ? {} : { code }) };
  };

  yield pdf("of 100,000 pages", makePages(100_000, undefined), /^parse\.(too_many_pages|timeout)$/);
  const blanks = deflateSync(Buffer.alloc(512 * 1024 * 1024, " "), { level: 1 });
  yield pdf("that inflates to 512 MiB", makePage(blanks, "/FlateDecode"), /^parse\.(out_of_memory|timeout)$/);
  yield pdf(
    "that inflates twice to 512 MiB",
    makePage(deflateSync(blanks), "/FlateDecode/FlateDecode"),
    /^parse\.(out_of_memory|timeout)$/,
  );
  yield pdf("of ten million operators", makePage(deflateSync(`BT /F1 9 Tf ${"(a)Tj ".repeat(5_000_000)} ET`), "/FlateDecode"));
  yield pdf("whose page tree is a circle", makePdf(["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 9/Kids[2 0 R 2 0 R]>>"]));
  yield pdf(
    "that claims two thousand million pages",
    makePdf(["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 2000000000/Kids[]>>"]),
  );
  yield pdf("whose form paints itself", makePage("/X Do", "", "/XObject<</X 6 0 R>>"));
  const form = stream("/X Do /X Do", "/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 3 0 R>>>>");
  yield pdf(
    "whose form paints itself twice",
    makePdf([
      "<</Type/Catalog/Pages 2 0 R>>",
      "<</Type/Pages/Count 1/Kids[4 0 R]>>",
      form,
      "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Resources<</XObject<</X 3 0 R>>>>/Contents 5 0 R>>",
      stream("/X Do"),
    ]),
  );
  yield pdf("of nested arrays", makePage(`${"[".repeat(1_000_000)}`));
  yield pdf(
    "whose table of objects refers to itself",
    Buffer.from("%PDF-1.4\nxref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 1/Prev 9/Root 1 0 R>>\nstartxref\n9\n%%EOF"),
  );

  yield docx("of 64 MiB of blanks", makeDocx({ body: " ".repeat(64 * 1024 * 1024) }), "parse.archive_bomb");
  yield docx(
    "of many pictures",
    makeDocx({
      body: paragraph("x"),
      extra: Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`word/media/${index}.png`, new Uint8Array(0)])),
    }),
    "parse.archive_bomb",
  );
  yield docx(
    "that declares entities",
    makeDocx({ body: paragraph("&b;"), doctype: '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>' }),
    "parse.damaged",
  );
  yield docx("of a million nested elements", makeDocx({ body: noisy("<w:ins>", 1_000_000) }));
  yield docx("that understates what it holds", understated(makeDocx({ body: paragraph("x".repeat(190 * 1024)) })));
  yield docx(
    "in a docx",
    zipSync({ "[Content_Types].xml": makeDocx({ body: "" }), "word/document.xml": makeDocx({ body: "" }) }),
    "parse.damaged",
  );
  yield docx("that is another zip", zipSync({ mimetype: strToU8("application/zip") }), "parse.damaged");

  const other = (mediaType: MediaType, name: string, value: string, code?: HostileFile["code"]): HostileFile => {
    return { name: `${mediaType} ${name}`, mediaType, bytes: text(value), ...(code === undefined ? {} : { code }) };
  };
  yield other("text/html", "of nested elements", "<div>".repeat(300_000));
  yield other("text/html", "of formatting that is never closed", "<a><b><i><p>".repeat(20_000));
  yield other("text/html", "of tables in tables", "<table><tr><td>".repeat(50_000));
  yield other("text/markdown", "of nested quotations", `${">".repeat(100_000)} x`);
  yield other("text/markdown", "of open brackets", "![[".repeat(100_000));
  yield other("text/markdown", "of emphasis marks", "*a_ ".repeat(100_000));
  yield other(
    "text/markdown",
    "whose front matter multiplies",
    `---\na: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b]\n---\nText\n`,
  );
  yield other("application/json", "of nested lists", "[".repeat(2_000_000));
  yield other(
    "application/json",
    "whose paths multiply",
    `${`{"${"k".repeat(500)}":1,"next":`.repeat(20_000)}1${"}".repeat(20_000)}`,
    "parse.too_large",
  );
  yield other("text/csv", "of one open quotation mark", `a,b\n"${"x,\n".repeat(3_000_000)}`);
  yield other("text/csv", "of a million columns", `${"a,".repeat(1_000_000)}\n${"1,".repeat(1_000_000)}`);
  yield other("text/x-rst", "of colons", ":a".repeat(500_000));
  yield other("text/x-rst", "of open links", "`a <".repeat(200_000));
  yield other("text/x-source", "of blank lines", `a${"\n".repeat(5_000_000)} b`);
  // Its bytes and its text together are about what the smallest memory limit allows.
  const tooLong = /^parse\.(too_large|out_of_memory)$/;
  yield other("text/plain", "of more characters than a document has", "lorem ipsum ".repeat(6_000_000), tooLong);
  yield { name: "text/plain of zeros", mediaType: "text/plain", bytes: new Uint8Array(4 * 1024 * 1024), code: "parse.binary" };
}

/** Elements that do not compress well, so that no ratio gives them away. */
function noisy(tag: string, count: number): string {
  return Array.from({ length: count }, (_, index) => `${tag.slice(0, -1)} w:id="${(index * 2_654_435_761) % 4_294_967_296}">`).join("");
}

/** The document part holds far more than the directory of the archive says. */
function understated(bytes: Uint8Array): Uint8Array {
  const entry = Buffer.from(bytes).lastIndexOf(Buffer.from([0x50, 0x4b, 0x01, 0x02]));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(entry + 24, 10, true);
  return bytes;
}

const prose = "The keeper of the lighthouse counts the ships that pass at night and writes their number down. ";

/** A healthy document of every format, to be damaged. */
export function samples(): HostileFile[] {
  const of = (mediaType: MediaType, value: string): HostileFile => ({ name: mediaType, mediaType, bytes: text(value) });
  return [
    { name: "pdf", mediaType: "application/pdf", bytes: makePages(3, (page) => textContent([`Page ${page}`, prose])) },
    {
      name: "docx",
      mediaType: docxType,
      bytes: makeDocx({ body: paragraph("Log", "Heading1") + paragraph(prose) + paragraph(prose), title: "Log" }),
    },
    of(
      "text/markdown",
      `---\ntitle: Log\n---\n# Log\n\n${prose}\n\n- [a](b)\n- **c**\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n\`\`\`js\nx()\n\`\`\`\n`,
    ),
    of(
      "text/html",
      `<!doctype html><title>Log</title><main><h1>Log</h1><p>${prose}</p><ul><li>a<li>b</ul><table><tr><td>1<td>2</table></main>`,
    ),
    of("text/x-rst", `Log\n===\n\n${prose}\n\n.. note:: ${prose}\n\n* a\n* b\n\n::\n\n  x = 1\n`),
    of("text/csv", `name,number\n${'ship,"1,000"\n'.repeat(20)}`),
    of("text/tab-separated-values", `name\tnumber\n${"ship\t3\n".repeat(20)}`),
    of("application/json", JSON.stringify({ title: "Log", ships: Array.from({ length: 10 }, (_, id) => ({ id, note: prose })) })),
    of("application/jsonl", `${JSON.stringify({ note: prose, ships: [1, 2] })}\n`.repeat(5)),
    of("text/x-source", `function count(ships) {\n  return ships.length; // ${prose}\n}\n\nexport { count };\n`),
    of("text/plain", `${prose}\n\n${prose}\n`),
  ];
}

/** A sample cut short, with some bytes changed, removed or repeated. */
export function mutated(sample: HostileFile, index: number, random: () => number): HostileFile {
  let bytes = Buffer.from(sample.bytes);
  if (random() < 0.3) bytes = bytes.subarray(0, Math.floor(bytes.length * random()));
  for (let change = 0; change < 1 + random() * 8 && bytes.length > 0; change++) {
    const at = Math.floor(random() * bytes.length);
    const end = Math.min(bytes.length, at + Math.floor(random() * 64));
    const kind = random();
    if (kind < 0.5) bytes[at] = Math.floor(random() * 256);
    else if (kind < 0.7) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
    else if (kind < 0.9) bytes = Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
    else bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(end - at, Math.floor(random() * 256)), bytes.subarray(end)]);
  }
  return { name: `mutation ${index} of ${sample.name}`, mediaType: sample.mediaType, bytes: new Uint8Array(bytes) };
}
