import { expect, test } from "vitest";
import { compare, parseBaseline } from "./baseline.ts";
import { evaluate, judgedIds, ratedQueries } from "./evaluate.ts";
import { parseJudgements, parseQueries } from "./test-collection.ts";

const queries = parseQueries("1\tbees\n2\ttides\n3\tnobody judged this\n", "queries");
const judgements = parseJudgements("1 bees 1\n2 docs/tides.txt 1\n3 bees 0\n", "qrels");

test("documents go by their source or their file name, and two may not share one", () => {
  const ids = judgedIds(["docs/bees.md", "docs/tides.txt", "docs/other.md", ".hidden"], judgements);
  expect([...ids]).toEqual([
    ["docs/bees.md", "bees"],
    ["docs/tides.txt", "docs/tides.txt"],
  ]);
  expect(() => judgedIds(["docs/bees.md", "old/bees.txt"], judgements)).toThrow(
    /docs\/bees\.md and old\/bees\.txt go by the judged id bees/,
  );
});

test("only queries with a relevant document count", () => {
  expect(ratedQueries(queries, judgements).map(({ id }) => id)).toEqual(["1", "2"]);
  expect(() => ratedQueries(queries.slice(2), judgements)).toThrow(/No query has a document/);
});

async function evaluated(sources: readonly string[]): Promise<ReturnType<typeof evaluate>> {
  const documents = sources.map((source, index) => ({ source, score: 1 - index / 10 }));
  const ids = judgedIds(["docs/bees.md", "docs/tides.txt"], judgements);
  return evaluate(
    "hybrid",
    ratedQueries(queries, judgements),
    judgements,
    (source) => ids.get(source) ?? source,
    async (query) => ({ documents, tookMs: query.length, cached: false }),
  );
}

test("every query is rated by its own judgements, in the order they were given", async () => {
  const { queries: results, mean, medianMs } = await evaluated(["docs/bees.md", "docs/tides.txt"]);
  expect(results.map(({ id, quality }) => [id, quality.reciprocalRank])).toEqual([
    ["1", 1],
    ["2", 0.5],
  ]);
  expect(mean.reciprocalRank).toBe(0.75);
  expect(medianMs).toBe(5);
});

test("a drop beyond the tolerance fails, one within it does not, and the queries that fell are named", async () => {
  const saved = { object: "millrace.evaluation", runs: [await evaluated(["docs/bees.md", "docs/tides.txt"])] };
  const baseline = parseBaseline(JSON.stringify(saved), "baseline");
  const worse = compare(baseline, await evaluated(["docs/other.md", "docs/bees.md", "docs/tides.txt"]), 0.005);
  expect(worse).toMatchObject({ better: 0, worse: 2, same: 0, failed: ["ndcg10", "reciprocalRank"] });
  expect(worse.falls.map(({ id }) => id)).toEqual(["1", "2"]);
  expect(compare(baseline, await evaluated(["docs/other.md", "docs/bees.md", "docs/tides.txt"]), 1).failed).toEqual([]);
  expect(compare(baseline, await evaluated(["docs/bees.md", "docs/tides.txt"]), 0)).toMatchObject({ same: 2, failed: [] });
});

test("a query that one side lacks is no change", async () => {
  const now = await evaluated(["docs/bees.md", "docs/tides.txt"]);
  const saved = JSON.stringify({ object: "millrace.evaluation", runs: [{ ...now, queries: now.queries.slice(1) }] });
  expect(compare(parseBaseline(saved, "baseline"), now, 0)).toMatchObject({ same: 1, better: 0, worse: 0, failed: [] });
  expect(() => compare(parseBaseline(saved, "baseline"), { ...now, mode: "dense" }, 0)).toThrow(/no evaluation of the mode dense/);
  expect(() => parseBaseline("[]", "baseline.json")).toThrow(/baseline.json is no saved evaluation/);
});
