import { expect, test } from "vitest";
import { parseJudgements, parseQueries } from "./test-collection.ts";

const queries = [
  { id: "1", text: "how do bees dance" },
  { id: "2", text: "what moves the tides" },
];

test.each([
  ["JSON lines", '{"id": 1, "text": "how do bees dance"}\n\n{"id": "2", "text": "what moves the tides"}\n'],
  ["JSON lines, other names", '{"_id": "1", "query": "how do bees dance"}\r\n{"_id": "2", "query": "what moves the tides"}'],
  ["tabs", "1\thow do bees dance\n2\twhat moves the tides\n"],
  [
    "TREC topics",
    "<top>\n<num> Number: 1\n<title> how do\nbees dance\n\n<desc> Description:\nmore\n</top>\n<top>\n<num>2</num>\n<title>what moves the tides</title>\n</top>\n",
  ],
])("queries as %s", (_, text) => {
  expect(parseQueries(text, "queries")).toEqual(queries);
});

test.each([
  ["nothing", "\n", /has no queries/],
  ["an id twice", "1\ta\n1\tb\n", /query 1 comes twice/],
  ["no tab", "1\ta\nhow do bees dance\n", /queries:2 is no query/],
  ["broken JSON", '{"id": "1", "text": "a"}\n{"id"\n', /queries:2 is no JSON object/],
  ["a query without text", '{"id": "1"}\n', /without text/],
])("queries refused: %s", (_, text, message) => {
  expect(() => parseQueries(text, "queries")).toThrow(message);
});

const judgements = [
  ["1", [["bees", 2], ["tides", 0]]],
  ["2", [["tides", 1]]],
]; // biome-ignore format: as read

test.each([
  ["TREC's columns", "1 0 bees 2\n1 0 tides 0\n2 0 tides 1\n"],
  ["three columns, carriage returns", "1 bees 2\r\n1 tides 0\r\n2 tides 1\r\n"],
  ["tabs and column names", "query-id\tcorpus-id\tscore\n1\tbees\t2\n1\ttides\t0\n2\ttides\t1\n"],
  [
    "JSON lines",
    '{"query_id":1,"document_id":"bees","grade":2}\n{"query-id":"1","corpus-id":"tides","score":0}\n{"query_id":"2","doc_id":"tides","relevance":1}\n',
  ],
  ["a document judged twice", "1 0 bees 1\n1 0 bees 2\n1 0 tides 0\n2 0 tides 1\n"],
])("judgements as %s", (_, text) => {
  expect([...parseJudgements(text, "qrels")].map(([query, grades]) => [query, [...grades]])).toEqual(judgements);
});

test("a document's name with blanks, between tabs", () => {
  expect(parseJudgements("1\t0\ta folder/my file.md\t1\n", "qrels").get("1")?.get("a folder/my file.md")).toBe(1);
});

test.each([
  ["nothing", "", /no judgements/],
  ["a grade that is no number", "1 0 bees 2\n1 0 tides high\n", /qrels:2 is no judgement/],
  ["too few columns", "1 bees\n", /qrels:1 is no judgement/],
])("judgements refused: %s", (_, text, message) => {
  expect(() => parseJudgements(text, "qrels")).toThrow(message);
});
