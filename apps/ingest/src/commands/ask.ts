import type { Answer, Citation } from "@millrace/client";
import { limits, parseProjectName } from "@millrace/core";
import { loadConfig } from "@millrace/runtime";
import type { Command } from "commander";
import { filterOf, integerBetween } from "../option-values.ts";
import { openQueryService } from "../query-service.ts";
import { note, print, printable, printableLines, printJson, wrap } from "../terminal.ts";

interface AskOptions {
  readonly project: string;
  readonly topK: number;
  readonly filter?: string;
  readonly session?: string;
  readonly explain: boolean;
  readonly json: boolean;
}

const quoteLinesMax = 2;
const columnsMax = 110;

export function addAskCommand(program: Command): void {
  program
    .command("ask")
    .description("Ask a question; the answer names its sources.")
    .argument("<question>", "in your own words")
    .option("-p, --project <slug>", "project to ask", "default")
    .option("-k, --top-k <count>", `sources at most, 1 to ${limits.topKMax}`, integerBetween(1, limits.topKMax), limits.askTopKDefault)
    .option("--filter <json>", "only documents that match this filter")
    .option("--session <id>", "go on with the conversation of this name, or begin it")
    .option("--explain", "how long each step took", false)
    .option("--json", "the whole answer of the query service, when it is complete", false)
    .action(runAsk);
}

async function runAsk(question: string, options: AskOptions): Promise<void> {
  const config = loadConfig();
  const project = parseProjectName(options.project);
  const filter = options.filter === undefined ? {} : { filter: filterOf(options.filter) };
  const session = options.session === undefined ? {} : { session_id: options.session };
  const client = await openQueryService(config, project);
  for await (const event of client.askStream({ question, top_k: options.topK, trace: options.explain, ...filter, ...session })) {
    if (event.event === "delta" && !options.json) process.stdout.write(printableLines(event.data.text));
    if (event.event !== "done") continue;
    if (options.json) printJson(event.data);
    else printEnd(event.data);
  }
}

function printEnd({
  citations,
  mode,
  reason,
  truncated,
  model,
  standalone_question: standalone,
  took_ms: tookMs,
  timings_ms: timings,
}: Answer): void {
  print("\n");
  for (const citation of citations.toSorted((a, b) => a.n - b.n)) print(citationText(citation));
  if (standalone !== null) note(`Understood as: ${printable(standalone)}`);
  if (truncated) note("The model stopped at its limit of tokens: the answer is not whole.");
  if (reason === "llm_unavailable") note("The language model does not answer: these are sentences of the sources, verbatim.");
  print(`${mode === "generated" ? `by ${printable(model ?? "")}` : "extractive, without a language model"} · ${tookMs.toFixed(0)} ms`);
  if (timings === undefined) return;
  for (const [step, ms] of Object.entries(timings)) {
    print(`  ${step.padEnd(10)} ${ms.toFixed(1).padStart(9)} ms  ${((ms / tookMs) * 100).toFixed(0).padStart(3)} %`);
  }
}

function citationText({ n, source, page, quote }: Citation): string {
  const width = Math.min(process.stdout.columns ?? 100, columnsMax);
  return `[${n}] ${printable(source)}${page === null ? "" : ` · page ${page}`}\n${wrap(quote, width, "    ", quoteLinesMax)}`;
}
