import { expect, it } from "vitest";
import { roleOf } from "../measure/meter.mjs";
import { descendants, parsePss, parseStat, pssBytes } from "../measure/proc.mjs";
import { fitPower, median, percentile, shuffled, summarise } from "../measure/statistics.mjs";
import { barPlot, logPlot } from "../report/plot.mjs";
import { replaceSection } from "../report/readme.mjs";
import { figure, table } from "../report/table.mjs";

it("takes percentiles between ranks, of unsorted values", () => {
  expect(percentile([40, 10, 30, 20], 0)).toBe(10);
  expect(percentile([40, 10, 30, 20], 1)).toBe(40);
  expect(percentile([40, 10, 30, 20], 0.5)).toBe(25);
  expect(percentile([1, 2, 3, 4, 5], 0.95)).toBeCloseTo(4.8);
  expect(median([10, 9, 100])).toBe(10);
  expect(percentile([], 0.5)).toBeNaN();
  expect(summarise([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3, repetitions: 3 });
});

it("fits the exponent of a power law", () => {
  const sizes = [1_000, 10_000, 50_000];
  const square = fitPower(
    sizes,
    sizes.map((n) => 3 * n ** 2),
  );
  expect(square.exponent).toBeCloseTo(2);
  expect(square.factor).toBeCloseTo(3);
  expect(fitPower(sizes, [7, 7, 7]).exponent).toBeCloseTo(0);
});

it("shuffles the same way for the same seed, and loses nothing", () => {
  const items = Array.from({ length: 50 }, (_, index) => index);
  expect(shuffled(items, 1)).toEqual(shuffled(items, 1));
  expect(shuffled(items, 1)).not.toEqual(shuffled(items, 2));
  expect(shuffled(items, 3).sort((a, b) => a - b)).toEqual(items);
});

it("reads memory and processor time from /proc", () => {
  expect(parsePss("55d4-7ffe ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:  1234 kB\nPss_Dirty: 77 kB\n")).toBe(1_234 * 1_024);
  const fields = ["S", 17, 1, 1, 0, -1, 0, 0, 0, 0, 0, 250, 150, 0, 0, 20, 0, 1, 0, 4_711, 0];
  const stat = parseStat(`42 (a (strange) name) ${fields.join(" ")}`);
  expect(stat).toMatchObject({ parent: 17, startTicks: 4_711 });
  expect(stat.cpuSeconds).toBeGreaterThan(0);
  expect(pssBytes(process.pid)).toBeGreaterThan(10e6);
  expect(pssBytes(2 ** 30)).toBe(0);
});

it("finds what a process has started, and nothing else", () => {
  const all = [
    { pid: 1, parent: 0 },
    { pid: 10, parent: 1 },
    { pid: 11, parent: 10 },
    { pid: 12, parent: 11 },
    { pid: 20, parent: 1 },
  ];
  expect(descendants(all, [10]).map(({ pid }) => pid)).toEqual([10, 11, 12]);
  expect(descendants(all, [11, 10, 99]).map(({ pid }) => pid)).toEqual([11, 12, 10]);
});

it("tells processes apart by their command lines", () => {
  expect(roleOf("/x/python/bin/python /x/python/bin/milvus-lite server --port 1")).toBe("Milvus Lite");
  expect(roleOf("/usr/bin/node /x/packages/embedding/dist/compute-process.js /m int8 2")).toBe("compute");
  expect(roleOf("/usr/bin/node /x/apps/ingest/dist/main.js up")).toBe("supervisor");
  expect(roleOf("sleep 1")).toBe("process");
});

it("writes tables and figures", () => {
  expect(table(["what", "n"], [["a", 1]])).toBe("| what |   n |\n| ---- | --: |\n| a    |   1 |");
  expect([figure(0), figure(1.234), figure(56.78), figure(12_345.6), figure(undefined), figure(Number.NaN)]).toEqual([
    "0",
    "1.23",
    "56.8",
    "12,346",
    "–",
    "–",
  ]);
});

it("draws bars in proportion, and escapes labels", () => {
  const svg = barPlot({
    title: "t",
    unit: "u",
    bars: [
      { label: "a < b", value: 100 },
      { label: "c", value: 50 },
    ],
  });
  expect([...svg.matchAll(/<rect x="270" y="\d+" width="([\d.]+)"/g)].map((match) => Number(match[1]))).toEqual([420, 210]);
  expect(svg).toContain("a &lt; b");
  const growth = logPlot({ title: "t", x: "n", y: "ms", series: [{ label: "l", points: [[10, 1], [1_000, 100]] }] }); // biome-ignore format: one line
  expect(growth).toContain('d="M70.0 340.0 L590.0 40.0"');
});

it("replaces what stands between the markers, and refuses a text without", () => {
  const text = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n";
  expect(replaceSection(text, "x", "new")).toBe("a\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nb\n");
  expect(() => replaceSection(text, "y", "new")).toThrow("bench:y");
});
