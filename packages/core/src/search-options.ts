import { InvalidInputError } from "./errors.ts";
import { chunksRead, type Expansion } from "./expand.ts";
import { limits } from "./limits.ts";
import { rerankedScale, type ScoreScale, type SearchMode, scoreScales } from "./search-mode.ts";

/** What a search may be asked for beyond its best chunks. Absent is as if it had not been thought of, in the cache's key too. */
export interface SearchOptions {
  /** Hits are grouped by document, up to so many of each; `topK` counts documents. */
  readonly groupSize?: number;
  /** On the scale of the mode's scores (`scoreScales`). */
  readonly minScore?: number;
  /** 0 exclusive to 1: how much hits are to differ from each other. */
  readonly diversity?: number;
  /** The best hits are put in order by the service's reranker; scores are its own. */
  readonly rerank?: true;
  readonly expand?: Expansion;
  readonly highlight?: true;
}

/** As they are called in a request. */
export const searchOptionFields = ["group_by", "group_size", "min_score", "diversity", "rerank", "expand", "highlight"] as const;

type Fields = Readonly<Record<string, unknown>>;

/**
 * @throws InvalidInputError `query.group_by`, `query.group_size`, `query.min_score`, `query.diversity`, `query.rerank`, `query.expand`, `query.highlight`
 */
export function parseSearchOptions(fields: Fields, mode: SearchMode, topK: number): SearchOptions {
  const groupSize = parseGroupSize(fields, topK);
  const rerank = parseRerank(fields["rerank"] ?? false, topK * (groupSize ?? 1));
  const minScore = parseMinScore(fields["min_score"] ?? undefined, rerank ? rerankedScale : scoreScales[mode]);
  const diversity = parseDiversity(fields["diversity"] ?? 0, topK);
  const expand = parseExpansion(fields["expand"] ?? 0, topK * (groupSize ?? 1));
  const highlight = parseHighlight(fields["highlight"] ?? false);
  return {
    ...(groupSize === undefined ? {} : { groupSize }),
    ...(minScore === undefined ? {} : { minScore }),
    ...(diversity === 0 ? {} : { diversity }),
    ...(rerank ? { rerank } : {}),
    ...(expand === 0 ? {} : { expand }),
    ...(highlight ? { highlight } : {}),
  };
}

function parseGroupSize(fields: Fields, topK: number): number | undefined {
  const by = fields["group_by"] ?? undefined;
  const size = fields["group_size"] ?? undefined;
  if (by === undefined) {
    if (size === undefined) return undefined;
    throw new InvalidInputError("query.group_size", "group_size says nothing without group_by", {
      hint: 'Send "group_by": "document" too.',
    });
  }
  if (by !== "document") {
    throw new InvalidInputError("query.group_by", `Hits cannot be grouped by ${shown(by)}`, { hint: 'They can by "document".' });
  }
  if (!isWholeNumber(size ?? 1, 1, limits.groupSizeMax)) {
    throw new InvalidInputError("query.group_size", `group_size is ${shown(size)}, not a whole number from 1 to ${limits.groupSizeMax}`);
  }
  const hits = topK * ((size as number | undefined) ?? 1);
  if (hits > limits.topKMax) {
    throw new InvalidInputError(
      "query.group_size",
      `top_k documents of group_size hits are ${hits} hits, more than the limit of ${limits.topKMax}`,
      {
        hint: "Lower one of the two.",
      },
    );
  }
  return (size as number | undefined) ?? 1;
}

function parseMinScore(minScore: unknown, { min, max, of }: ScoreScale): number | undefined {
  if (minScore === undefined) return undefined;
  if (typeof minScore === "number" && Number.isFinite(minScore) && minScore >= min && minScore <= max) return minScore;
  const range = max === Number.POSITIVE_INFINITY ? `a number from ${min}` : `a number from ${min} to ${max}`;
  throw new InvalidInputError("query.min_score", `min_score is ${shown(minScore)}, not ${range}`, {
    hint: `Scores of this search are ${of}.`,
  });
}

function parseDiversity(diversity: unknown, topK: number): number {
  if (typeof diversity !== "number" || !(diversity >= 0 && diversity <= 1)) {
    throw new InvalidInputError("query.diversity", `diversity is ${shown(diversity)}, not a number from 0 to 1`);
  }
  if (diversity > 0 && topK > limits.diverseTopKMax) {
    throw new InvalidInputError("query.diversity", `With diversity, top_k is ${limits.diverseTopKMax} at most`, { hint: "Lower it." });
  }
  return diversity;
}

function parseExpansion(expand: unknown, hits: number): Expansion {
  if (expand !== "section" && !isWholeNumber(expand, 0, limits.neighboursMax)) {
    throw new InvalidInputError(
      "query.expand",
      `expand is ${shown(expand)}, neither "section" nor a whole number from 0 to ${limits.neighboursMax}`,
    );
  }
  const chunks = 2 * chunksRead(expand) * hits;
  if (chunks > limits.expandedChunksMax) {
    throw new InvalidInputError(
      "query.expand",
      `expand ${shown(expand)} for ${hits} hits would read ${chunks} chunks, more than the limit of ${limits.expandedChunksMax}`,
      { hint: "Lower top_k or expand." },
    );
  }
  return expand;
}

function parseRerank(rerank: unknown, hits: number): boolean {
  if (typeof rerank !== "boolean") throw new InvalidInputError("query.rerank", `rerank is ${shown(rerank)}, neither true nor false`);
  if (rerank && hits > limits.rerankTopKMax) {
    throw new InvalidInputError("query.rerank", `${hits} hits are more than the ${limits.rerankTopKMax} that are reranked at most`, {
      hint: "Lower top_k or group_size.",
    });
  }
  return rerank;
}

function parseHighlight(highlight: unknown): boolean {
  if (typeof highlight === "boolean") return highlight;
  throw new InvalidInputError("query.highlight", `highlight is ${shown(highlight)}, neither true nor false`);
}

function isWholeNumber(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "undefined").slice(0, 80);
}
