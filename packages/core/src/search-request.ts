import { normaliseQuery } from "./cache-key.ts";
import { InvalidInputError } from "./errors.ts";
import { type Filter, parseFilter } from "./filter.ts";
import { limits } from "./limits.ts";
import type { ProjectName } from "./project.ts";
import { defaultWeights, type Fusion, type FusionWeights, fusions } from "./rank.ts";
import { type SearchMode, searchModes } from "./search-mode.ts";
import { parseSearchOptions, type SearchOptions, searchOptionFields } from "./search-options.ts";

const optionNames: readonly string[] = ["top_k", "mode", "weights", "fusion", "filter", ...searchOptionFields];

/** A search that has been checked. Every field of it is part of the cache key. */
export interface SearchRequest extends SearchOptions {
  readonly project: ProjectName;
  /** Normalised, 1 to `queryCharsMax` characters. */
  readonly query: string;
  readonly topK: number;
  readonly mode: SearchMode;
  /** How much each list counts in a hybrid search. */
  readonly weights: FusionWeights;
  readonly fusion: Fusion;
  readonly filter?: Filter;
}

/**
 * Checks a request from outside.
 * @throws InvalidInputError `query.unknown_field`, `query.missing`, `query.empty`, `query.too_long`, `query.top_k`, `query.mode`, `query.weights`, `query.fusion`, `filter.invalid`, and as `parseSearchOptions`
 */
export function parseSearchRequest(project: ProjectName, body: unknown): SearchRequest {
  const fields = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  refuseUnknown(fields);
  const filter = fields["filter"] ?? undefined;
  const query = parseQuery(fields["query"]);
  const topK = parseTopK(fields["top_k"] ?? limits.topKDefault);
  const mode = parseMode(fields["mode"] ?? "hybrid");
  return {
    project,
    query,
    topK,
    mode,
    weights: parseWeights(fields["weights"] ?? defaultWeights),
    fusion: parseFusion(fields["fusion"] ?? "scores"),
    ...(filter === undefined ? {} : { filter: parseFilter(filter) }),
    ...parseSearchOptions(fields, mode, topK),
  };
}

/** A misspelt `filter` must not become a search without one. */
function refuseUnknown(fields: Readonly<Record<string, unknown>>): void {
  const unknown = Object.keys(fields).find((field) => field !== "query" && !optionNames.includes(field));
  if (unknown === undefined) return;
  throw new InvalidInputError("query.unknown_field", `There is no field ${JSON.stringify(unknown.slice(0, 64))}`, {
    hint: `A search may have ${optionNames.join(", ")}.`,
  });
}

function parseQuery(query: unknown): string {
  if (typeof query !== "string")
    throw new InvalidInputError("query.missing", "The body has no text in `query`", { hint: 'Send {"query": "…"}.' });
  if (query.length > limits.queryCharsMax) {
    throw new InvalidInputError(
      "query.too_long",
      `The query has ${query.length} characters, more than the limit of ${limits.queryCharsMax}`,
      { hint: "Shorten it." },
    );
  }
  const normalised = normaliseQuery(query);
  if (normalised === "") throw new InvalidInputError("query.empty", "The query is empty");
  return normalised;
}

function parseTopK(topK: unknown): number {
  if (typeof topK === "number" && Number.isInteger(topK) && topK >= 1 && topK <= limits.topKMax) return topK;
  throw new InvalidInputError("query.top_k", `top_k is ${JSON.stringify(topK)}, not a whole number from 1 to ${limits.topKMax}`);
}

function parseMode(mode: unknown): SearchMode {
  const known = searchModes.find((each) => each === mode);
  if (known === undefined)
    throw new InvalidInputError("query.mode", `There is no mode ${JSON.stringify(mode)}`, {
      hint: `The modes are ${searchModes.join(", ")}.`,
    });
  return known;
}

function parseWeights(weights: unknown): FusionWeights {
  const { dense, keyword } = (typeof weights === "object" && weights !== null ? weights : {}) as Record<string, unknown>;
  if (isWeight(dense) && isWeight(keyword) && dense + keyword > 0) return { dense, keyword };
  throw new InvalidInputError("query.weights", "weights needs two numbers from 0 to 1, `dense` and `keyword`, not both 0", {
    hint: 'For example {"dense": 1, "keyword": 0.5}.',
  });
}

function parseFusion(fusion: unknown): Fusion {
  const known = fusions.find((each) => each === fusion);
  if (known !== undefined) return known;
  throw new InvalidInputError("query.fusion", `There is no fusion ${JSON.stringify(fusion)}`, { hint: `There are ${fusions.join(", ")}.` });
}

function isWeight(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 1;
}
