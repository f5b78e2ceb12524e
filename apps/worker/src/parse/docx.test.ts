import { once } from "node:events";
import { mkdtemp, stat, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { strToU8, zipSync } from "fflate";
import { expect, test } from "vitest";
import { linkedPicture, makeDocx, paragraph } from "../../test/docx.ts";
import { blocksOf, describeParser } from "../../test/parser-conformance.ts";
import { parseDocx } from "./docx.ts";

const row = (...cells: string[]): string => `<w:tr>${cells.map((cell) => `<w:tc>${paragraph(cell)}</w:tc>`).join("")}</w:tr>`;
const body = `${paragraph("Handbook", "Title")}${paragraph("Safety", "Heading1")}${paragraph("Keep the needle away.")}${paragraph("At work", "Heading2")}<w:tbl>${row("Tool", "Risk")}${row("Saw", "high")}</w:tbl>`;

describeParser("docx", parseDocx, makeDocx({ body }));

test("styles are headings, tables lines of cells, properties facts", async () => {
  const document = await parseDocx(makeDocx({ body, title: "The &amp; Handbook" }));
  expect(blocksOf(document)).toEqual([
    ["heading 1", "Handbook"],
    ["heading 1", "Safety"],
    ["paragraph", "Keep the needle away."],
    ["heading 2", "At work"],
    ["table", "Tool | Risk\nSaw | high"],
  ]);
  expect(document).toMatchObject({ title: "The & Handbook", metadata: { author: "An Author" } });
});

test("a picture outside the document is not read, from disk or from the network", async () => {
  const canary = join(await mkdtemp(join(tmpdir(), "millrace-canary-")), "canary.png");
  await writeFile(canary, "canary");
  await utimes(canary, new Date(0), new Date(0));
  let requests = 0;
  const server = createServer((_, response) => {
    requests++;
    response.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/canary.png`;
  const link = (id: string, target: string): string =>
    `<Relationship Id="${id}" TargetMode="External" Target="${target}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"/>`;
  const bytes = makeDocx({
    body: `${linkedPicture("file")}${linkedPicture("plain")}${linkedPicture("http")}${paragraph("Text")}`,
    relationships: link("file", `file://${canary}`) + link("plain", canary) + link("http", url),
  });
  expect((await parseDocx(bytes)).text).toBe("Text");
  expect((await stat(canary)).atimeMs).toBe(0);
  expect(requests).toBe(0);
  server.close();
});

test("bombs are refused before they are unpacked", async () => {
  const refused = (bytes: Uint8Array) => expect(parseDocx(bytes)).rejects;
  await refused(makeDocx({ body: " ".repeat(8 * 1024 * 1024) })).toMatchObject({ code: "parse.archive_bomb" });
  const entries = Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`word/media/${index}`, strToU8("")]));
  await refused(makeDocx({ body, extra: entries })).toMatchObject({ code: "parse.archive_bomb" });
  const doctype = '<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>';
  await refused(makeDocx({ body: paragraph("&b;"), doctype })).toMatchObject({ code: "parse.damaged" });
});

test("an archive that understates an entry gets the memory it asked for", async () => {
  const bytes = makeDocx({ body: paragraph("x".repeat(400_000)) });
  const view = new DataView(bytes.buffer);
  // The sizes in the central directory, of which the last entry is the document part.
  const entry = Buffer.from(bytes).lastIndexOf(Buffer.from([0x50, 0x4b, 0x01, 0x02]));
  expect(view.getUint32(entry + 24, true)).toBeGreaterThan(400_000);
  view.setUint32(entry + 24, 1_000, true);
  const outcome = await parseDocx(bytes).catch((error: unknown) => error);
  expect(outcome instanceof Error ? 0 : (outcome as { text: string }).text.length).toBeLessThan(1_000);
});

test("other archives and old Word documents say what they are", async () => {
  await expect(parseDocx(zipSync({ "a.txt": strToU8("a") }))).rejects.toThrow();
  await expect(parseDocx(Uint8Array.of(0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1))).rejects.toMatchObject({ code: "parse.encrypted" });
  await expect(parseDocx(strToU8("PK no more"))).rejects.toMatchObject({ code: "parse.damaged" });
});
