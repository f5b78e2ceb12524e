import type { SweepPoint } from "@millrace/vector-store";
import { buildText, searchText } from "./candidates.ts";

const [left, top, width, height] = [60, 40, 520, 300] as const;
const colours = ["#0b6e99", "#c4581a", "#4a7c2c", "#7d4aa3"];
const ticks = 5;

/** Recall against latency as SVG: a line for each index, a ring around the choice. */
export function recallPlot(points: readonly SweepPoint[], chosen: SweepPoint | undefined): string {
  const recallMin = Math.min(0.99, ...points.map(({ recallAt100 }) => recallAt100));
  const slowest = Math.max(...points.map(({ p50Ms }) => p50Ms)) * 1.05;
  const x = ({ p50Ms }: Pick<SweepPoint, "p50Ms">): number => left + (p50Ms / slowest) * width;
  const y = ({ recallAt100 }: Pick<SweepPoint, "recallAt100">): number =>
    top + height - ((recallAt100 - recallMin) / (1 - recallMin)) * height;
  const parts: string[] = [];
  for (let index = 0; index <= ticks; index++) {
    const at = { p50Ms: (slowest * index) / ticks, recallAt100: recallMin + ((1 - recallMin) * index) / ticks };
    parts.push(line(x(at), top, x(at), top + height), text(x(at), top + height + 16, at.p50Ms.toPrecision(2), "middle"));
    parts.push(line(left, y(at), left + width, y(at)), text(left - 6, y(at) + 4, at.recallAt100.toFixed(3), "end"));
  }
  const builds = [...new Set(points.map(({ settings }) => buildText(settings)))];
  for (const [index, build] of builds.entries()) {
    const colour = colours[index % colours.length] ?? "#222";
    const own = points.filter(({ settings }) => buildText(settings) === build).sort((a, b) => a.p50Ms - b.p50Ms);
    const path = own.map((point, at) => `${at === 0 ? "M" : "L"}${x(point).toFixed(1)} ${y(point).toFixed(1)}`).join(" ");
    parts.push(`<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const point of own) {
      parts.push(
        `<circle cx="${x(point).toFixed(1)}" cy="${y(point).toFixed(1)}" r="3" fill="${colour}"><title>${searchText(point.settings)}</title></circle>`,
      );
    }
    parts.push(text(left + width + 12, top + 14 + index * 18, build, "start", colour));
  }
  if (chosen !== undefined)
    parts.push(`<circle cx="${x(chosen).toFixed(1)}" cy="${y(chosen).toFixed(1)}" r="8" fill="none" stroke="#222" stroke-width="2"/>`);
  parts.push(text(left + width / 2, top + height + 36, "median of one search, ms", "middle"), text(left, top - 10, "recall@100", "start"));
  const [w, h] = [left + width + 180, top + height + 50];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}">\n<rect width="${w}" height="${h}" fill="#fff"/>\n${parts.join("\n")}\n</svg>\n`;
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="#ddd"/>`;
}

function text(x: number, y: number, value: string, anchor: string, colour = "#222"): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="${colour}" font-family="system-ui, sans-serif" font-size="12">${value}</text>`;
}
