import type { ParsedDocument } from "@millrace/core";
import { CsvError, parse } from "csv-parse/sync";
import { cleanText, decodeText, encodingFact } from "./decode.ts";
import { DocumentBuilder } from "./document-builder.ts";

/** Rows that make up one block. */
const rowsPerBlock = 500;
const sniffedLines = 20;

/** Comma-separated values, or whichever of the usual separators the file has. */
export async function parseCsv(bytes: Uint8Array): Promise<ParsedDocument> {
  return parseDelimited(bytes, separatorOf);
}

export async function parseTsv(bytes: Uint8Array): Promise<ParsedDocument> {
  return parseDelimited(bytes, () => "\t");
}

/**
 * Each row is a line that can be understood without the others, `name: value | name: value`, since a chunk from the middle of a table has no header.
 * A file whose quotes do not match is kept as its lines are.
 */
function parseDelimited(bytes: Uint8Array, separatorIn: (text: string) => string): ParsedDocument {
  const decoded = decodeText(bytes);
  try {
    const rows = new Rows();
    parse(decoded.text, {
      delimiter: separatorIn(decoded.text),
      relax_column_count: true,
      relax_quotes: true,
      skip_empty_lines: true,
      // Nothing is collected by the library: a large table would be in memory as text and as cells.
      on_record: (cells: string[]) => {
        rows.add(cells);
        return null;
      },
    });
    return rows.end().build({ metadata: encodingFact(decoded) });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const builder = new DocumentBuilder();
    builder.add("table", decoded.text);
    return builder.build({ metadata: encodingFact(decoded) });
  }
}

class Rows {
  readonly #builder = new DocumentBuilder();
  #names: readonly string[] | undefined;
  #lines: string[] = [];
  #first = true;

  add(raw: readonly string[]): void {
    const cells = raw.map((cell) => cleanText(cell).replace(/\s+/g, " ").trim());
    if (cells.every((cell) => cell === "")) return;
    if (this.#first) {
      this.#first = false;
      if (areNames(cells)) {
        this.#names = cells;
        // A line of its own, so that a table without rows is found by its columns.
        this.#lines.push(cells.filter((name) => name !== "").join(" | "));
        return;
      }
    }
    this.#lines.push(this.#names === undefined ? cells.join(" | ") : described(cells, this.#names));
    if (this.#lines.length >= rowsPerBlock) this.#flush();
  }

  end(): DocumentBuilder {
    this.#flush();
    return this.#builder;
  }

  #flush(): void {
    this.#builder.add("table", this.#lines.join("\n"), undefined, "\n");
    this.#lines = [];
  }
}

function described(cells: readonly string[], names: readonly string[]): string {
  const pairs = cells.map((cell, index) => (cell === "" || !names[index] ? cell : `${names[index]}: ${cell}`));
  return pairs.filter((pair) => pair !== "").join(" | ");
}

/** A first row is a header when its cells differ, and none is a number or long. */
function areNames(cells: readonly string[]): boolean {
  const named = cells.filter((cell) => cell !== "");
  if (new Set(named).size !== named.length || named.length * 2 < cells.length) return false;
  return named.every((cell) => cell.length <= 100 && !/^[-+]?[\d.,:/\s-]+%?$/.test(cell));
}

/** The separator that cuts the first lines into the same number of cells most often, and into more than one. */
function separatorOf(text: string): string {
  const lines = text
    .slice(0, 65_536)
    .split("\n", sniffedLines)
    .filter((line) => line.trim() !== "");
  let best = { separator: ",", score: 0 };
  for (const separator of [",", ";", "\t", "|"]) {
    const counts = lines.map((line) => line.replace(/"[^"]*"/g, "").split(separator).length - 1);
    const [first = 0] = counts;
    const score = first === 0 ? 0 : counts.filter((count) => count === first).length + Math.min(first, 50) / 100;
    if (score > best.score) best = { separator, score };
  }
  return best.separator;
}
