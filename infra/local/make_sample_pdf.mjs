/** Writes the sample PDF of the quick start: three pages in our own words, the same bytes every time. `node make_sample_pdf.mjs <out.pdf>` */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { PDFDocument, StandardFonts } from "pdf-lib";

const pages = [
  [
    "The mill and its race",
    "A mill race is the channel that leads water to the wheel. It decides how much water arrives, and when, and nothing reaches the wheel except through it.",
    "Millrace does the same for documents. A folder is the river; the wheel is the search index. Between the two lies a channel that takes every document exactly once, however often the gates are shut.",
  ],
  [
    "When a worker is killed",
    "A worker that is killed in the middle of writing leaves rows behind that nobody refers to. They are invisible: a search returns a row only when the ledger calls its generation live.",
    "Another worker takes the job up again and writes the same rows under the same keys. Only when all of them have been read back does one atomic step make the new generation live, and the old one garbage. There is no moment without an answer, and none with two.",
  ],
  [
    "When the cache is gone",
    "The cache may vanish at any time. A search that finds no cache costs the time of an ordinary search and gives the same answer: a broken cache is a counted miss, never an error.",
    "A cached answer can not outlive the documents it came from. Each project has an epoch, which is part of every cache key and grows with every change; answers from before are never looked up again.",
  ],
];

export async function makeSamplePdf(path) {
  const pdf = await PDFDocument.create({ updateMetadata: false });
  const date = new Date("2026-01-01T00:00:00Z");
  pdf.setTitle("How Millrace keeps its promises");
  pdf.setAuthor("Millrace");
  pdf.setCreationDate(date);
  pdf.setModificationDate(date);
  const bold = await pdf.embedFont(StandardFonts.HelveticaBold);
  const regular = await pdf.embedFont(StandardFonts.Helvetica);
  for (const [heading, ...paragraphs] of pages) {
    const page = pdf.addPage([595, 842]);
    page.drawText(heading, { x: 60, y: 760, size: 20, font: bold });
    let y = 720;
    for (const paragraph of paragraphs) {
      for (const line of linesOf(paragraph, regular, 12, 475)) {
        page.drawText(line, { x: 60, y, size: 12, font: regular });
        y -= 18;
      }
      y -= 12;
    }
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, await pdf.save());
}

function linesOf(paragraph, font, size, width) {
  const lines = [];
  let line = "";
  for (const word of paragraph.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (font.widthOfTextAtSize(longer, size) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await makeSamplePdf(process.argv[2] ?? "sample.pdf");
