import { defaultIndexSettings, type SweepPoint } from "@millrace/vector-store";
import { expect, test } from "vitest";
import { buildText, candidatesFor, choose, searchText } from "./candidates.ts";
import { recallPlot } from "./recall-plot.ts";

const point = (recallAt100: number, p50Ms: number): SweepPoint => ({
  settings: defaultIndexSettings,
  recallAt10: 1,
  recallAt100,
  p50Ms,
  p99Ms: p50Ms * 2,
  buildMs: 1,
});

test("the fastest of those that reach the recall is chosen, and none where none does", () => {
  const points = [point(0.9, 1), point(0.99, 3), point(0.985, 2), point(1, 9)];
  expect(choose(points, 0.98)).toMatchObject({ p50Ms: 2 });
  expect(choose(points.slice(0, 1), 0.98)).toBeUndefined();
});

test("candidates of one index stand together, the default among them", () => {
  const candidates = candidatesFor(20_000);
  const builds = candidates.map(buildText);
  expect(builds.filter((build, index) => build !== builds[index - 1])).toEqual([
    "HNSW M 8",
    "HNSW M 16",
    "HNSW M 32",
    "IVF_FLAT nlist 512",
  ]);
  expect(candidates).toContainEqual(defaultIndexSettings);
  expect(candidatesFor(100).every((each) => each.type === "HNSW" || each.search.nprobe <= each.build.nlist)).toBe(true);
  expect(candidates.map(searchText)).toContain("nprobe 128");
});

test("the plot has a line for each index and a mark for the choice", () => {
  const points = [
    point(0.9, 1),
    { ...point(0.95, 2), settings: { type: "IVF_FLAT", build: { nlist: 8 }, search: { nprobe: 2 } } as const },
    point(1, 9),
  ];
  const svg = recallPlot(points, points[2]);
  expect(svg.match(/<path /g)).toHaveLength(2);
  expect(svg.match(/<circle /g)).toHaveLength(4);
  expect(svg).toContain("IVF_FLAT nlist 8");
  expect(svg).not.toContain("NaN");
  expect(recallPlot([point(1, 1)], undefined)).not.toContain("NaN");
});
