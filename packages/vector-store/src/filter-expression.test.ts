import { parseFilter, parseProjectName } from "@millrace/core";
import { describe, expect, it } from "vitest";
import { keysExpression, searchExpression } from "./filter-expression.ts";

const project = parseProjectName("p");
const expressionOf = (filter: unknown): string => searchExpression(project, parseFilter(filter));

describe("searchExpression", () => {
  it("is the project clause alone without a filter", () => {
    expect(searchExpression(project, undefined)).toBe('project == "p"');
  });

  it.each([
    [{ type: "eq", key: "source", value: "a.md" }, 'source == "a.md"'],
    [{ type: "nin", key: "media_type", value: ["text/plain"] }, 'media_type not in ["text/plain"]'],
    [{ type: "lt", key: "page", value: 3 }, "page != 0 and page < 3"],
    [{ type: "ne", key: "page", value: 3 }, "page == 0 or page != 3"],
    [{ type: "eq", key: "source_prefix", value: "docs/" }, 'source >= "docs/" and source < "docs0"'],
    [{ type: "ne", key: "source_prefix", value: "a\ud7ff" }, 'source < "a\ud7ff" or source >= "a\ue000"'],
    [{ type: "eq", key: "source_prefix", value: "a\u{10ffff}" }, 'source >= "a\u{10ffff}" and source < "b"'],
    [{ type: "eq", key: "source_prefix", value: "" }, 'source >= ""'],
    [{ type: "gte", key: "ingested_at", value: "2026-01-31T08:00:00Z" }, "ingested_at >= 1769846400000"],
    [{ type: "gte", key: "metadata.year", value: 2_024 }, 'metadata["n"]["year"] >= 2024'],
    [{ type: "eq", key: "metadata.draft", value: true }, 'metadata["b"]["draft"] == true'],
    [{ type: "eq", key: "metadata.big", value: 1e20 }, 'metadata["n"]["big"] == 1e+20'],
    [{ type: "eq", key: "metadata.a", value: "x" }, 'metadata["s"]["a"] == "x" or json_contains(metadata["l"]["a"], "x")'],
    [{ type: "ne", key: "metadata.n", value: -1.5 }, '(not (exists metadata["n"]["n"])) or (metadata["n"]["n"] != -1.5e+0)'],
    [
      {
        type: "or",
        filters: [
          { type: "gt", key: "metadata.n", value: 1 },
          { type: "and", filters: [{ type: "eq", key: "title", value: "t" }] },
        ],
      },
      '(metadata["n"]["n"] > 1) or ((title == "t"))',
    ],
  ])("writes %j inside the project clause", (filter, expected) => {
    expect(expressionOf(filter)).toBe(`project == "p" and (${expected})`);
  });

  it.each(['" or project != "p', '\\" or true or "', "\\", '\\\\"', "a\nb\rc\td", "]) or (true"])("keeps %j inside its quotes", (value) => {
    const expression = expressionOf({ type: "eq", key: "title", value });
    const literal = /^project == "p" and \(title == ("(?:[^"\\\n\r]|\\.)*")\)$/.exec(expression)?.[1] ?? "";
    expect(JSON.parse(literal)).toBe(value);
  });

  it("lists keys in the one form that Lite answers from its index", () => {
    expect(keysExpression(["a", "b"])).toBe('chunk_id in ["a", "b"]');
  });
});
