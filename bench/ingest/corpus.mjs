/** The documents that are ingested, and their chunks as the product cuts them: every contestant works on the same. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomOf, shuffled } from "../measure/statistics.mjs";
import { root } from "../report/results.mjs";

export const data = process.env.MILLRACE_TEST_DATA || join(root, "..", "shared", "data");
/** Of a Markdown file, for choosing how many files make a number of chunks. */
const bytesPerChunk = 700;

/**
 * A folder with Markdown files of about `chunks` chunks together, drawn by the seed.
 * @returns {{ folder: string, files: number, origin: string }}
 */
export function textCorpus(chunks, seed) {
  const source = join(data, "markdown");
  if (!existsSync(source)) return generatedCorpus(chunks, seed);
  const files = readdirSync(source, { recursive: true }).filter((name) => name.endsWith(".md")).sort(); // biome-ignore format: one line
  return { ...corpusOf(source, files, chunks, seed), origin: "Markdown documentation of Redis" };
}

/** The PDF files that have text; undefined where the test data are absent. */
export function pdfCorpus(quick) {
  const source = join(data, "pdf");
  if (!existsSync(source)) return undefined;
  const names = readdirSync(source, { recursive: true }).filter((name) => name.endsWith(".pdf"));
  const files = quick ? names.filter((name) => /simple\d|jo\.pdf/.test(name)) : names.filter((name) => !name.includes("encryption"));
  return { ...corpusOf(source, files.sort(), Number.POSITIVE_INFINITY, 1), origin: "PDFs: a 238-page annual report and small ones" };
}

function corpusOf(source, names, chunks, seed) {
  const folder = newFolder();
  let left = chunks * bytesPerChunk;
  let files = 0;
  for (const name of shuffled(names, seed)) {
    if (left <= 0) break;
    const path = join(source, name);
    const { size } = statSync(path);
    // One huge file would be the whole of a small corpus.
    if (Number.isFinite(left) && size > (chunks * bytesPerChunk) / 4) continue;
    left -= size;
    files++;
    const target = join(folder, name.replaceAll("/", "__"));
    writeFileSync(target, readFileSync(path));
  }
  return { folder, files };
}

/** Text of random words, each document different. */
export function generatedCorpus(chunks, seed, chunksPerFile = 8) {
  const folder = newFolder();
  const random = randomOf(seed);
  const syllables = ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "xu", "zy"];
  const word = () =>
    Array.from({ length: 1 + Math.floor(random() * 3) }, () => syllables[Math.floor(random() * syllables.length)]).join("");
  const paragraph = () => `${Array.from({ length: 60 }, word).join(" ")}.`;
  const files = Math.max(1, Math.ceil(chunks / chunksPerFile));
  for (let file = 0; file < files; file++) {
    // Folders of some hundred files, as people have them.
    const below = join(folder, String(Math.floor(file / 500)));
    mkdirSync(below, { recursive: true });
    const text = Array.from({ length: chunksPerFile }, (_, at) => `## Part ${at}\n\n${paragraph()}\n`).join("\n");
    writeFileSync(join(below, `${file}.md`), `# Document ${file}\n\n${text}`);
  }
  return { folder, files, origin: "generated text" };
}

const newFolder = () => mkdtempSync(join(tmpdir(), "millrace-bench-corpus-"));

/**
 * Ingests the folder once and reads the chunks back.
 * @param {import("./installation.mjs").Installation} installation
 * @returns {Promise<{ source: string, title: string, headings: string[], text: string, tokens: number }[]>} tokens with the model's special ones
 */
export async function chunksOf(installation, folder, project) {
  const { documents } = await installation.ingest([folder, "--project", project]);
  return readChunks(installation, project, documents);
}

/**
 * The chunks of documents that were ingested, as `installation.ingest` tells them, until there are `most`; by the names of the documents: in the order in which
 * these were done, the same seed would draw others every time.
 */
export async function readChunks(installation, project, documents, most = Number.POSITIVE_INFINITY) {
  const found = [];
  for (const { document_id: id, source, state } of [...documents].sort((a, b) => (a.source < b.source ? -1 : 1))) {
    if (state !== "live") continue;
    if (found.length >= most) break;
    const { title } = await installation.request(`/v1/documents/${id}`, { project });
    for (let offset = 0; offset !== null; ) {
      const page = await installation.request(`/v1/documents/${id}/chunks?limit=500&offset=${offset}`, { project });
      for (const { headings, text, tokens } of page.data) found.push({ source, title, headings, text, tokens });
      offset = page.next_offset;
    }
  }
  return found;
}
