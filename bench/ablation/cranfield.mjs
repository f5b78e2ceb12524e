/** Retrieval quality of a step's arithmetic: Cranfield's 1,400 abstracts and 225 queries, each read as far as the model reads, by vectors alone. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { meanQuality, qualityOf } from "../../apps/ingest/dist/metrics.js";
import { data } from "../ingest/corpus.mjs";

const folder = join(data, "cranfield");
const tokensMax = 256;

/**
 * @param {(text: string) => number[]} encode
 * @returns {{ documents: number, texts: string[], ids: number[][], grades: Map<string, number>[] } | undefined} documents first, then queries, whose grades are by the
 * index of a document; undefined where the test data are absent
 */
export function cranfield(encode) {
  if (!existsSync(folder)) return undefined;
  const read = (name) => readFileSync(join(folder, name), "utf8").replaceAll("\r\n", "\n");
  const documents = entries(read("cran.all.1400")).map((fields) => `${fields.get("T")}\n\n${fields.get("W")}`);
  const queries = entries(read("cran.qry")).map((fields) => fields.get("W"));
  const texts = [...documents, ...queries].map((text) => text.replace(/\s+/g, " ").trim());
  const ids = texts.map(encode).map((all) => (all.length <= tokensMax ? all : [...all.slice(0, tokensMax - 1), all.at(-1)]));
  // Judgements count queries and documents from 1, by position.
  const grades = queries.map(() => new Map());
  for (const line of read("cranqrel").split("\n")) {
    const [query, document, code] = line.trim().split(/\s+/).map(Number);
    if (code >= 1) grades[query - 1].set(String(document - 1), 1);
  }
  return { documents: documents.length, texts, ids, grades };
}

/** Fields of each entry of the SMART format: `.I` begins one, `.T` and the like a field. */
function entries(text) {
  return text
    .split(/^\.I .*\n/m)
    .slice(1)
    .map((entry) => new Map(entry.split(/^\.(?=[A-Z]\s*$)/m).map((field) => [field[0], field.slice(1).trim()])));
}

/** nDCG@10. @param {readonly (readonly number[])[]} vectors of unit length, of all texts */
export function ndcgOf({ documents, grades }, vectors) {
  const dot = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);
  const qualities = grades.map((own, query) => {
    const scores = vectors.slice(0, documents).map((vector) => dot(vector, vectors[documents + query]));
    const ranking = scores.map((_, index) => index).sort((a, b) => scores[b] - scores[a]);
    return qualityOf(ranking.slice(0, 100).map(String), own);
  });
  return meanQuality(qualities).ndcg10;
}
