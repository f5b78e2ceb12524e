import { InvalidInputError } from "@millrace/core";

export interface TestQuery {
  readonly id: string;
  readonly text: string;
}

/** Query id → id of a judged document → its grade; 0 and less is not relevant. */
export type Judgements = ReadonlyMap<string, ReadonlyMap<string, number>>;

/**
 * Queries as JSON lines (`{"id": …, "text": …}`, or `_id` and `query`), as TREC topics (`<top> <num> <title>`), or as lines of an id and a text
 * with a tab between them.
 * @param name what errors call the text
 * @throws InvalidInputError `eval.queries` where a line is none of these, an id comes twice, or there is no query
 */
export function parseQueries(text: string, name: string): TestQuery[] {
  const start = text.trimStart();
  const queries = start.startsWith("<") ? trecTopics(text) : start.startsWith("{") ? jsonQueries(text, name) : tabbedQueries(text, name);
  const seen = new Set<string>();
  for (const { id, text: query } of queries) {
    if (id === "" || query === "") throw new InvalidInputError("eval.queries", `${name}: a query without an id or without text`);
    if (seen.has(id)) throw new InvalidInputError("eval.queries", `${name}: the query ${id} comes twice`);
    seen.add(id);
  }
  if (queries.length === 0) throw new InvalidInputError("eval.queries", `${name} has no queries`);
  return queries;
}

function jsonQueries(text: string, name: string): TestQuery[] {
  return jsonLines(text, name, "eval.queries").map((fields) => ({
    id: String(fields["id"] ?? fields["_id"] ?? ""),
    text: String(fields["text"] ?? fields["query"] ?? "").trim(),
  }));
}

/** The title of a topic is its query, as in TREC's ad hoc runs. */
function trecTopics(text: string): TestQuery[] {
  const field = (topic: string, tag: string): string =>
    (new RegExp(`<${tag}>([^<]*)`, "i").exec(topic)?.[1] ?? "")
      .replace(/^\s*(number|topic)\s*:/i, "")
      .replace(/\s+/g, " ")
      .trim();
  return [...text.matchAll(/<top>([\s\S]*?)<\/top>/gi)].map(([, topic = ""]) => ({ id: field(topic, "num"), text: field(topic, "title") }));
}

function tabbedQueries(text: string, name: string): TestQuery[] {
  return linesOf(text).map(([line, number]) => {
    const tab = line.indexOf("\t");
    if (tab < 1) {
      throw new InvalidInputError("eval.queries", `${name}:${number} is no query`, {
        hint: 'Write JSON lines {"id": "1", "text": "…"}, TREC topics, or an id, a tab and the text.',
      });
    }
    return { id: line.slice(0, tab).trim(), text: line.slice(tab + 1).trim() };
  });
}

/**
 * Judgements in TREC's form (`query iteration document grade`), the same without the iteration, or as JSON lines
 * (`{"query_id": …, "document_id": …, "grade": …}`; also `query-id`, `corpus-id` and `score`). A line of column names at the start is passed over.
 * @throws InvalidInputError `eval.qrels`
 */
export function parseJudgements(text: string, name: string): Judgements {
  const judgements = new Map<string, Map<string, number>>();
  const rows = text.trimStart().startsWith("{") ? jsonJudgements(text, name) : columnJudgements(text, name);
  for (const { query, document, grade } of rows) {
    const ofQuery = judgements.get(query) ?? new Map<string, number>();
    // Judged twice: the better grade counts.
    ofQuery.set(document, Math.max(grade, ofQuery.get(document) ?? grade));
    judgements.set(query, ofQuery);
  }
  if (judgements.size === 0) throw new InvalidInputError("eval.qrels", `${name} has no judgements`);
  return judgements;
}

interface Judgement {
  readonly query: string;
  readonly document: string;
  readonly grade: number;
}

function columnJudgements(text: string, name: string): Judgement[] {
  const lines = linesOf(text);
  return lines.flatMap(([line, number], index) => {
    // Sources may have blanks: only a line with tabs can name them.
    const columns = line.includes("\t") ? line.split("\t").map((column) => column.trim()) : line.trim().split(/\s+/);
    const [query = "", document = "", grade = ""] = columns.length === 4 ? [columns[0], columns[2], columns[3]] : columns;
    if (columns.length >= 3 && columns.length <= 4 && /^-?\d+(\.\d+)?$/.test(grade)) return [{ query, document, grade: Number(grade) }];
    if (index === 0 && columns.length >= 3) return [];
    throw new InvalidInputError("eval.qrels", `${name}:${number} is no judgement`, {
      hint: "Write `query iteration document grade`, as TREC does, or leave the iteration out.",
    });
  });
}

function jsonJudgements(text: string, name: string): Judgement[] {
  return jsonLines(text, name, "eval.qrels").map((fields) => {
    const query = fields["query_id"] ?? fields["query-id"];
    const document = fields["document_id"] ?? fields["doc_id"] ?? fields["corpus-id"];
    const grade = Number(fields["grade"] ?? fields["relevance"] ?? fields["score"]);
    if (query === undefined || document === undefined || !Number.isFinite(grade))
      throw new InvalidInputError("eval.qrels", `${name}: a judgement without query_id, document_id or grade`);
    return { query: String(query), document: String(document), grade };
  });
}

function jsonLines(text: string, name: string, code: string): Record<string, unknown>[] {
  return linesOf(text).map(([line, number]) => {
    try {
      const value: unknown = JSON.parse(line);
      if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
    } catch {
      // refused below, as what is JSON but no object is
    }
    throw new InvalidInputError(code, `${name}:${number} is no JSON object`);
  });
}

/** Lines that say something, with their 1-based numbers. */
function linesOf(text: string): [string, number][] {
  return text
    .split(/\r?\n/)
    .map((line, index): [string, number] => [line, index + 1])
    .filter(([line]) => line.trim() !== "");
}
