import { stripVTControlCharacters } from "node:util";

/**
 * What is printed. Source names, document texts and error messages are written by strangers: without their control characters they cannot
 * move the cursor, recolour the terminal, or make one line look like two.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
  const controls = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]+/g;
  return stripVTControlCharacters(text).replace(controls, " ").trim();
}

/** The same for a piece of a text of several lines: line ends and the spaces at its ends stay. */
export function printableLines(text: string): string {
  return text.replace(/[^\n]+/g, (line) => {
    const [before = "", after = ""] = [/^ */.exec(line)?.[0], / *$/.exec(line)?.[0]];
    const inner = printable(line);
    return inner === "" ? before : `${before}${inner}${after}`;
  });
}

/** Results: stdout. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Control characters are escaped here too, those that JSON leaves as they are included. */
export function printJson(value: unknown, indent?: number): void {
  const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  print(JSON.stringify(value, undefined, indent).replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]/g, escaped));
}

/** Everything that is no result: stderr. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Columns as wide as their widest cell; numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [header, ...rows.map((row) => row.map((cell) => printable(String(cell))))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const numeric = header.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === "number"));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (numeric[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))).join("  ");
  return cells.map((row) => line(row).trimEnd()).join("\n");
}

/** Words in lines of at most `width` columns, each after `indent`. */
export function wrap(text: string, width: number, indent: string, linesMax: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of printable(text).split(/\s+/)) {
    if (line !== "" && line.length + word.length + 1 > width - indent.length) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  const room = Math.max(width - indent.length, 20);
  const shown = lines.slice(0, linesMax).map((each) => each.slice(0, room));
  if (lines.length > linesMax) shown[linesMax - 1] = `${shown[linesMax - 1]?.slice(0, room - 2)} …`;
  return shown.map((each) => `${indent}${each}`).join("\n");
}

export function bytesText(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB"];
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), units.length);
  return `${(bytes / 1_024 ** power).toFixed(1)} ${units[power - 1]}`;
}

export function durationText(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.ceil(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A URL that may be shown. */
export function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, "//***@");
}
