import { readFile, writeFile } from "node:fs/promises";
import type { SearchRequest } from "@millrace/client";
import { errorMessage, InvalidInputError, limits, type ProjectName, parseProjectName, type SearchMode, searchModes } from "@millrace/core";
import { type Config, loadConfig } from "@millrace/runtime";
import { type Command, InvalidArgumentError, Option } from "commander";
import { listDocuments } from "../document-lookup.ts";
import { type Comparison, compare, parseBaseline } from "../evaluation/baseline.ts";
import { type Evaluation, evaluate, judgedIds, ratedQueries, type SearchResult } from "../evaluation/evaluate.ts";
import { measures, type Quality } from "../evaluation/metrics.ts";
import { type Judgements, parseJudgements, parseQueries } from "../evaluation/test-collection.ts";
import { openQueryService } from "../query-service.ts";
import { openSession } from "../session.ts";
import { note, print, printJson, table } from "../terminal.ts";

interface EvalOptions {
  readonly project: string;
  readonly queries: string;
  readonly qrels: string;
  readonly mode: readonly SearchMode[];
  readonly search?: Readonly<Record<string, unknown>>;
  readonly perQuery: boolean;
  readonly run?: string;
  readonly save?: string;
  readonly baseline?: string;
  readonly tolerance: number;
  readonly json: boolean;
}

/** Thousands of queries are not lost because one of them met a busy service. */
const retriesMax = 6;
/** As deep as the deepest measure looks. */
const rankingDepth = 100;
/** What the command itself says to the service. */
const ownFields = ["query", "mode", "top_k"];

const names: Readonly<Record<keyof Quality, string>> = {
  ndcg10: "nDCG@10",
  recall10: "recall@10",
  recall100: "recall@100",
  reciprocalRank: "MRR",
};

export function addEvalCommand(program: Command): void {
  program
    .command("eval")
    .description("Measure how well searches find what was judged relevant. Ends with 1 when it got worse than a baseline.")
    .requiredOption("--queries <file>", "queries: JSON lines, TREC topics, or id, tab, text")
    .requiredOption(
      "--qrels <file>",
      "judgements: TREC's columns or JSON lines; a document goes by its source or its file name without extension",
    )
    .option("-p, --project <slug>", "project to search", "default")
    .addOption(
      new Option("--mode <mode...>", "how to search; several are shown beside each other").choices(searchModes).default(["hybrid"]),
    )
    .option("--search <json>", 'further fields of the searches, such as \'{"weights":{"dense":1,"keyword":0.5}}\'', furtherFields)
    .option("--per-query", "one line per query too", false)
    .option("--run <file>", "write the rankings in TREC's form, for trec_eval")
    .option("--save <file>", "write the result, to be a baseline")
    .option("--baseline <file>", "compare with a saved result")
    .option("--tolerance <drop>", "how much a mean may fall below the baseline", share, 0.005)
    .option("--json", "the result as JSON", false)
    .action(async (options: EvalOptions) => {
      process.exitCode = await runEval(options);
    });
}

/** Answers with the exit code. */
async function runEval(options: EvalOptions): Promise<number> {
  const project = parseProjectName(options.project);
  const all = parseQueries(await textOf(options.queries), options.queries);
  const judgements = parseJudgements(await textOf(options.qrels), options.qrels);
  const baseline = options.baseline === undefined ? undefined : parseBaseline(await textOf(options.baseline), options.baseline);
  const queries = ratedQueries(all, judgements);
  if (options.run !== undefined && options.mode.length > 1)
    throw new InvalidInputError("eval.run", "--run holds the rankings of one mode only");

  const config = loadConfig();
  const client = await openQueryService(config, project, { retriesMax });
  const ids = await liveIds(config, project, judgements);
  if (ids.size === 0) {
    throw new InvalidInputError("eval.no_documents", `Project ${project} has no document that the judgements name`, {
      hint: "Name documents by their source or by their file name without its extension; `millrace docs list` shows the sources.",
    });
  }
  const depth = options.search?.["rerank"] === true ? limits.rerankTopKMax : rankingDepth;
  if (depth < rankingDepth) note(`${depth} documents are reranked at most: recall@100 is that of the first ${depth}.`);
  const ask = async (query: string, mode: SearchMode): Promise<SearchResult> => {
    const request: SearchRequest = { group_by: "document", ...options.search, query, mode, top_k: depth };
    const reply = await client.search(request);
    return { documents: reply.data, tookMs: reply.took_ms, cached: reply.cache === "hit" };
  };

  const evaluations: Evaluation[] = [];
  for (const mode of options.mode) evaluations.push(await evaluate(mode, queries, judgements, (source) => ids.get(source) ?? source, ask));
  const comparisons = baseline === undefined ? [] : evaluations.map((each) => compare(baseline, each, options.tolerance));
  const result = {
    object: "millrace.evaluation",
    project,
    search: options.search ?? {},
    runs: evaluations.map(withoutRankings),
    comparisons,
  };
  if (options.save !== undefined) await writeFile(options.save, `${JSON.stringify({ ...result, comparisons: undefined }, undefined, 1)}\n`);
  if (options.run !== undefined) await writeFile(options.run, trecRun(evaluations));
  if (options.json) printJson(result);
  else {
    const judged = new Set([...judgements.values()].flatMap((grades) => [...grades.keys()])).size;
    if (queries.length < all.length) note(`${all.length - queries.length} queries have no relevant document and do not count.`);
    if (ids.size < judged) note(`${judged - ids.size} of ${judged} judged documents are not in project ${project}.`);
    printEvaluations(evaluations, options.perQuery);
    for (const comparison of comparisons) printComparison(comparison);
  }
  return comparisons.some(({ failed }) => failed.length > 0) ? 1 : 0;
}

async function liveIds(config: Config, project: ProjectName, judgements: Judgements): Promise<ReadonlyMap<string, string>> {
  const session = await openSession(config);
  try {
    const sources: string[] = [];
    for await (const { source } of listDocuments(session.ledger, project, { state: "live" })) sources.push(source);
    return judgedIds(sources, judgements);
  } finally {
    await session.close();
  }
}

function withoutRankings({ queries, ...evaluation }: Evaluation): object {
  return { ...evaluation, queries: queries.map(({ id, quality }) => ({ id, quality })) };
}

function printEvaluations(evaluations: readonly Evaluation[], perQuery: boolean): void {
  const figures = (quality: Quality): string[] => measures.map((measure) => quality[measure].toFixed(4));
  const header = measures.map((measure) => names[measure]);
  if (perQuery) {
    const rows = evaluations.flatMap(({ mode, queries }) => queries.map(({ id, quality }) => [mode, id, ...figures(quality)]));
    print(`${table(["mode", "query", ...header], rows)}\n`);
  }
  const rows = evaluations.map(({ mode, mean, medianMs, queries }) => {
    const median = medianMs === undefined ? "all cached" : `${medianMs.toFixed(1)} ms`;
    return [mode, queries.length, ...figures(mean), median];
  });
  print(table(["mode", "queries", ...header, "p50, uncached"], rows));
}

function printComparison({ mode, before, after, better, worse, same, falls, failed }: Comparison): void {
  const signed = (change: number): string => `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(4)}`;
  const rows = measures.map((measure) => [
    names[measure],
    before[measure].toFixed(4),
    after[measure].toFixed(4),
    signed(after[measure] - before[measure]),
    failed.includes(measure) ? "worse" : "",
  ]);
  print(`\n${table([`${mode}, beside the baseline`, "before", "now", "change", ""], rows)}`);
  print(`nDCG@10 rose for ${better} queries, fell for ${worse}, stayed for ${same}.`);
  for (const { id, before, after } of falls) print(`  query ${id}: ${before.toFixed(4)} → ${after.toFixed(4)}`);
}

/** `query Q0 document rank score tag`. Blanks part the columns, so those of a source are written as %20. */
function trecRun(evaluations: readonly Evaluation[]): string {
  const lines = evaluations.flatMap(({ mode, queries }) =>
    queries.flatMap(({ id, ranking }) =>
      ranking.map(({ document, score }, index) => `${id} Q0 ${document.replaceAll(/\s/g, "%20")} ${index + 1} ${score} millrace-${mode}`),
    ),
  );
  return `${lines.join("\n")}\n`;
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new InvalidInputError("eval.unreadable", `Cannot read ${path}: ${errorMessage(error)}`, { cause: error });
  }
}

function furtherFields(text: string): Readonly<Record<string, unknown>> {
  let fields: Readonly<Record<string, unknown>> | undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) fields = value as Record<string, unknown>;
  } catch {
    // refused below
  }
  if (fields === undefined) throw new InvalidArgumentError('It must be a JSON object, such as {"weights":{"dense":1,"keyword":0.5}}.');
  const own = Object.keys(fields).find((field) => ownFields.includes(field));
  if (own === undefined) return fields;
  throw new InvalidArgumentError(own === "mode" ? "The mode is that of --mode." : `\`${own}\` is set for each query.`);
}

function share(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError("It must be a number from 0 to 1.");
  return value;
}
