import type { SearchRequest } from "@millrace/client";
import {
  type Fusion,
  type FusionWeights,
  fusions,
  limits,
  parseProjectName,
  parseSearchRequest,
  rerankedScale,
  type SearchMode,
  scoreScales,
  searchModes,
} from "@millrace/core";
import { loadConfig } from "@millrace/runtime";
import { type Command, Option } from "commander";
import { hitText } from "../hit-text.ts";
import { decimal, expansion, filterOf, fusionWeights, integerBetween } from "../option-values.ts";
import { openQueryService } from "../query-service.ts";
import { styleFor } from "../styled-text.ts";
import { note, print, printJson } from "../terminal.ts";

interface SearchOptions {
  readonly project: string;
  readonly topK: number;
  readonly mode: SearchMode;
  readonly weights?: FusionWeights;
  readonly fusion?: Fusion;
  readonly filter?: string;
  readonly minScore?: number;
  readonly groupBy?: "document";
  readonly groupSize?: number;
  readonly diversity?: number;
  readonly rerank: boolean;
  readonly expand?: number | "section";
  readonly explain: boolean;
  readonly json: boolean;
}

const columnsMin = 40;
const columnsMax = 110;

export function addSearchCommand(program: Command): void {
  program
    .command("search")
    .description("Search a project.")
    .argument("<query>", "what to look for, in your own words")
    .option("-p, --project <slug>", "project to search", "default")
    .option("-k, --top-k <count>", `hits at most, 1 to ${limits.topKMax}`, integerBetween(1, limits.topKMax), limits.topKDefault)
    .addOption(
      new Option("-m, --mode <mode>", "by meaning (dense), by words (keyword), or both (hybrid)").choices(searchModes).default("hybrid"),
    )
    .option("--weights <dense,keyword>", "of both lists in a hybrid search, 0 to 1 each, such as 1,0.5", fusionWeights)
    .addOption(
      new Option("--fusion <how>", "of a hybrid search: by how far hits stand out in each list, or by their ranks").choices(fusions),
    )
    .option("--filter <json>", "only documents that match this filter")
    .option("--min-score <score>", "leave out hits below it, by the scale of the mode", decimal)
    .addOption(new Option("--group-by <what>", "the best hits of each document; --top-k counts documents then").choices(["document"]))
    .option("--group-size <count>", "with --group-by: hits of each document at most", integerBetween(1, limits.groupSizeMax))
    .option("--diversity <share>", "0 to 1: how much hits are to differ from those before them", decimal)
    .option("--rerank", "put the best hits in order by the reranker of the service", false)
    .option("--expand <what>", 'show what stands around each hit: so many chunks before and after it, or its "section"', expansion)
    .option("--explain", "where each hit stood in each list, and with what score", false)
    .option("--json", "the answer of the query service as it is", false)
    .action(runSearch);
}

async function runSearch(query: string, options: SearchOptions): Promise<void> {
  const config = loadConfig();
  const project = parseProjectName(options.project);
  const { topK, mode, weights, fusion, filter, minScore, groupBy, groupSize, diversity, expand } = options;
  const body: SearchRequest = {
    query,
    top_k: topK,
    mode,
    highlight: true,
    ...(weights === undefined ? {} : { weights }),
    ...(fusion === undefined ? {} : { fusion }),
    ...(filter === undefined ? {} : { filter: filterOf(filter) }),
    ...(minScore === undefined ? {} : { min_score: minScore }),
    ...(groupBy === undefined ? {} : { group_by: groupBy }),
    ...(groupSize === undefined ? {} : { group_size: groupSize }),
    ...(diversity === undefined ? {} : { diversity }),
    ...(options.rerank ? { rerank: true } : {}),
    ...(expand === undefined ? {} : { expand }),
  };
  // What is wrong with it is told before anything is started.
  parseSearchRequest(project, body);
  const client = await openQueryService(config, project);
  const startedAt = performance.now();
  const reply = await client.search(body);
  const roundTripMs = performance.now() - startedAt;
  if (options.json) return printJson(reply);

  const style = styleFor(process.stdout);
  // A terminal that does not know its width says 0.
  const columns = Math.min(Math.max(process.stdout.columns || 100, columnsMin), columnsMax);
  if (reply.data.length === 0) {
    print(`Nothing found in project ${project}${minScore === undefined ? "" : ` with a score from ${minScore} on`}.`);
    if (minScore === undefined && filter === undefined) note("`millrace status` shows the projects and what they hold.");
  }
  let documents = 0;
  let previous: string | undefined;
  for (const [index, hit] of reply.data.entries()) {
    const isNext = hit.document_id === previous && groupBy !== undefined;
    if (!isNext) documents++;
    previous = hit.document_id;
    const label = groupBy === undefined ? `${index + 1}.` : isNext ? "" : `${documents}.`;
    print(hitText(hit, label, { style, columns, explain: options.explain, mode }));
  }
  const hits = counted(reply.data.length, "hit");
  const found = groupBy === undefined ? hits : `${hits} in ${counted(documents, "document")}`;
  if (options.explain) print(style.dim(`score: ${(options.rerank ? rerankedScale : scoreScales[mode]).of}`));
  const time = `${reply.took_ms.toFixed(1)} ms in the service, ${roundTripMs.toFixed(1)} ms round trip`;
  print(style.dim(`${found} · ${mode} · cache ${reply.cache} · ${time}`));
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
