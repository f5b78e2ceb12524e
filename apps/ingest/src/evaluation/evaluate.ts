import { InvalidInputError, type SearchMode } from "@millrace/core";
import { meanQuality, type Quality, qualityOf } from "./metrics.ts";
import type { Judgements, TestQuery } from "./test-collection.ts";

interface RankedDocument {
  readonly source: string;
  readonly score: number;
}

export interface SearchResult {
  /** Best first, each document once. */
  readonly documents: readonly RankedDocument[];
  readonly tookMs: number;
  readonly cached: boolean;
}

interface QueryResult {
  readonly id: string;
  readonly quality: Quality;
  /** Judged ids where a document has one, sources otherwise; best first. */
  readonly ranking: readonly { readonly document: string; readonly score: number }[];
}

export interface Evaluation {
  readonly mode: SearchMode;
  readonly mean: Quality;
  /** Milliseconds in the service, of searches that came from no cache; undefined where all did. */
  readonly medianMs: number | undefined;
  readonly queries: readonly QueryResult[];
}

/**
 * Asks every query that has a relevant document, some at a time, and rates the rankings.
 * @param idOf names a document as the judgements do
 * @throws what `search` throws
 */
export async function evaluate(
  mode: SearchMode,
  queries: readonly TestQuery[],
  judgements: Judgements,
  idOf: (source: string) => string,
  search: (query: string, mode: SearchMode) => Promise<SearchResult>,
): Promise<Evaluation> {
  const results: QueryResult[] = [];
  const times: number[] = [];
  const waiting = queries.entries();
  const askNext = async (): Promise<void> => {
    for (const [index, { id, text }] of waiting) {
      const { documents, tookMs, cached } = await search(text, mode);
      if (!cached) times.push(tookMs);
      const ranking = documents.map(({ source, score }) => ({ document: idOf(source), score }));
      const grades = judgements.get(id) ?? new Map<string, number>();
      results[index] = { id, ranking, quality: qualityOf(ranking.map(({ document }) => document), grades) }; // biome-ignore format: one line
    }
  };
  await Promise.all(Array.from({ length: queriesAtOnce }, askNext));
  return { mode, mean: meanQuality(results.map(({ quality }) => quality)), medianMs: medianOf(times), queries: results };
}

const queriesAtOnce = 4;

/** Those queries whose ranking can be rated: without a relevant document every measure is undefined. */
export function ratedQueries(queries: readonly TestQuery[], judgements: Judgements): TestQuery[] {
  const rated = queries.filter(({ id }) => [...(judgements.get(id)?.values() ?? [])].some((grade) => grade > 0));
  if (rated.length > 0) return rated;
  throw new InvalidInputError("eval.no_judgements", "No query has a document that was judged relevant", {
    hint: "Are the query ids of both files the same? Some collections count queries by position.",
  });
}

/**
 * Judged ids of documents: a source is called by itself where it is judged under that name, else by its file name without the extension.
 * @throws InvalidInputError `eval.ambiguous` where two documents would share an id
 */
export function judgedIds(sources: Iterable<string>, judgements: Judgements): ReadonlyMap<string, string> {
  const judged = new Set([...judgements.values()].flatMap((grades) => [...grades.keys()]));
  const ids = new Map<string, string>();
  const sourceOf = new Map<string, string>();
  for (const source of sources) {
    const name = source.slice(source.lastIndexOf("/") + 1).replace(/(?<=.)\.[^.]*$/, "");
    const id = [source, name].find((each) => judged.has(each));
    if (id === undefined) continue;
    const other = sourceOf.get(id);
    if (other !== undefined) {
      throw new InvalidInputError("eval.ambiguous", `Both ${other} and ${source} go by the judged id ${id}`, {
        hint: "Name documents in the judgements by their whole source.",
      });
    }
    sourceOf.set(id, source);
    ids.set(source, id);
  }
  return ids;
}

function medianOf(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
