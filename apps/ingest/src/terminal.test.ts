import { expect, test } from "vitest";
import { bytesText, durationText, printable, table, wrap } from "./terminal.ts";

test("nothing printed can steer the terminal", () => {
  const hostile = "a\u001b[2Jb\u001b]0;title\u0007c\r\nd\u0000e\u009b31mf\u202eg\u2028h";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these must be gone
  expect(printable(hostile)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e\u2028]/);
  expect(printable(hostile)).toContain("d");
  expect(printable("Überraschung – 日本語 👩‍👩‍👧")).toBe("Überraschung – 日本語 👩‍👩‍👧");
});

test("columns line up, numbers to the right", () => {
  expect(
    table(
      ["name", "count"],
      [
        ["a", 5],
        ["longer", 1_000],
      ],
    ),
  ).toBe("name    count\na           5\nlonger   1000");
});

test("wraps words, cuts after the last line allowed", () => {
  expect(wrap("one two three four five six", 12, "  ", 2)).toBe("  one two\n  three four …");
});

test("sizes and durations for people", () => {
  expect([bytesText(0), bytesText(1_023), bytesText(1_536), bytesText(5 * 1024 ** 3)]).toEqual(["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
  expect([durationText(0.2), durationText(75), durationText(7_260)]).toEqual(["1 s", "1 min 15 s", "2 h 1 min"]);
});
