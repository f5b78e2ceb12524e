import { expect, test } from "vitest";
import { searchCacheKey } from "./cache-key.ts";
import { isMillraceError } from "./errors.ts";
import { parseProjectName } from "./project.ts";
import { parseSearchRequest } from "./search-request.ts";

const parse = (fields: object) => parseSearchRequest(parseProjectName("p"), { query: "q", ...fields });
const keyOf = (fields: object): string => searchCacheKey(parse(fields), "1", "space");

test("every option is part of the cache's key, and what is not asked for is not", () => {
  const asked = [
    { group_by: "document" },
    { group_by: "document", group_size: 2 },
    { min_score: 0.2 },
    { min_score: 0 },
    { diversity: 0.5 },
    { diversity: 0.6 },
    { rerank: true },
    { expand: 1 },
    { expand: 2 },
    { expand: "section" },
    { highlight: true },
  ];
  expect(new Set([{}, ...asked].map(keyOf)).size).toBe(asked.length + 1);
  for (const idle of [
    { diversity: 0, expand: 0, highlight: false },
    { group_by: null, min_score: null, diversity: null, expand: null },
  ]) {
    expect(keyOf(idle)).toBe(keyOf({}));
  }
  expect(keyOf({ group_by: "document", group_size: 1 })).toBe(keyOf({ group_by: "document" }));
});

test.each([
  ["query.unknown_field", { filters: { type: "eq", key: "source", value: "a.md" } }],
  ["query.unknown_field", { topk: 5 }],
  ["query.group_by", { group_by: "source" }],
  ["query.group_size", { group_size: 2 }],
  ["query.group_size", { group_by: "document", group_size: 0 }],
  ["query.group_size", { group_by: "document", group_size: 2.5 }],
  ["query.group_size", { group_by: "document", group_size: 3, top_k: 100 }],
  ["query.min_score", { min_score: "0.5" }],
  ["query.min_score", { min_score: 12 }],
  ["query.min_score", { min_score: -0.1 }],
  ["query.min_score", { min_score: 1.01, mode: "dense" }],
  ["query.min_score", { min_score: -1, mode: "keyword" }],
  ["query.diversity", { diversity: 1.5 }],
  ["query.diversity", { diversity: Number.NaN }],
  ["query.diversity", { diversity: "much" }],
  ["query.diversity", { diversity: 0.1, top_k: 101 }],
  ["query.rerank", { rerank: 1 }],
  ["query.rerank", { rerank: true, top_k: 51 }],
  ["query.rerank", { rerank: true, top_k: 20, group_by: "document", group_size: 3 }],
  ["query.min_score", { rerank: true, mode: "keyword", min_score: 2 }],
  ["query.expand", { expand: -1 }],
  ["query.expand", { expand: 11 }],
  ["query.expand", { expand: "page" }],
  ["query.expand", { expand: 10, top_k: 60 }],
  ["query.expand", { expand: "section", top_k: 20, group_by: "document", group_size: 5 }],
  ["query.highlight", { highlight: "yes" }],
])("%s: %o is refused", (code, fields) => {
  let thrown: unknown;
  try {
    parse(fields);
  } catch (error) {
    thrown = error;
  }
  expect(isMillraceError(thrown) ? thrown.code : thrown).toBe(code);
});

test("scores may be as far as their mode's scale goes", () => {
  expect(parse({ min_score: -1, mode: "dense" }).minScore).toBe(-1);
  expect(parse({ min_score: 12, mode: "keyword" }).minScore).toBe(12);
  expect(parse({ min_score: 1 }).minScore).toBe(1);
});
