import { InvalidInputError, limits, parseProjectName } from "@millrace/core";
import { loadConfig, loadOrCreateAdminKey } from "@millrace/runtime";
import type { Command } from "commander";
import { filterOf, integerBetween } from "../option-values.ts";
import { type SearchHit, search } from "../query-client.ts";
import { queryUrl } from "../query-url.ts";
import { print, printable, printJson, wrap } from "../terminal.ts";

interface SearchOptions {
  readonly project: string;
  readonly topK: number;
  readonly filter?: string;
  readonly json: boolean;
}

const snippetLinesMax = 4;
const columnsMax = 110;

export function addSearchCommand(program: Command): void {
  program
    .command("search")
    .description("Search a project.")
    .argument("<query>", "what to look for, in your own words")
    .option("-p, --project <slug>", "project to search", "default")
    .option("-k, --top-k <count>", `hits at most, 1 to ${limits.topKMax}`, integerBetween(1, limits.topKMax), limits.topKDefault)
    .option("--filter <json>", "only documents that match this filter")
    .option("--json", "the answer of the query service as it is", false)
    .action(runSearch);
}

async function runSearch(query: string, options: SearchOptions): Promise<void> {
  const config = loadConfig();
  const project = parseProjectName(options.project);
  if (query.length > limits.queryCharsMax) {
    throw new InvalidInputError("query.too_long", `The query has ${query.length} characters, ${limits.queryCharsMax} are the most`);
  }
  const filter = options.filter === undefined ? {} : { filter: filterOf(options.filter) };
  const url = await queryUrl(config);
  const apiKey = await loadOrCreateAdminKey(config.home);
  const startedAt = performance.now();
  const reply = await search({ url, apiKey, project, body: { query, top_k: options.topK, ...filter } });
  const roundTripMs = performance.now() - startedAt;
  if (options.json) return printJson(reply);

  if (reply.data.length === 0) print(`Nothing found in project ${project}.`);
  for (const [index, hit] of reply.data.entries()) print(hitText(hit, index + 1));
  print(
    `${reply.data.length} hits · cache ${reply.cache} · ${reply.took_ms.toFixed(1)} ms in the service, ${roundTripMs.toFixed(1)} ms round trip`,
  );
}

function hitText(hit: SearchHit, rank: number): string {
  const width = Math.min(process.stdout.columns ?? 100, columnsMax);
  const place = [printable(hit.source)];
  if (typeof hit.page === "number") place.push(`page ${hit.page}`);
  if (hit.headings.length > 0) place.push(hit.headings.map(printable).join(" › "));
  return `${String(rank).padStart(2)}. ${hit.score.toFixed(3)}  ${place.join(" · ")}\n${wrap(hit.text, width, "      ", snippetLinesMax)}\n`;
}
