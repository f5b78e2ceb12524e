import { describe, expect, it } from "vitest";
import { InvalidInputError } from "./errors.ts";
import { type FilterableChunk, matchesFilter, parseFilter } from "./filter.ts";
import { limits } from "./limits.ts";

const chunk: FilterableChunk = {
  source: "docs/a.md",
  mediaType: "text/markdown",
  title: "Überblick",
  documentId: "d1",
  ingestedAt: 1_760_000_000_000,
  metadata: { author: "Ann", year: 2024, draft: false, tags: ["red", "blue"] },
};

function messageOf(value: unknown): string {
  try {
    parseFilter(value);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error).toMatchObject({ code: "filter.invalid", retryable: false });
    return error instanceof Error ? error.message : "";
  }
  throw new Error("the filter was accepted");
}

function nested(depth: number): unknown {
  return depth === 1 ? { type: "eq", key: "page", value: 1 } : { type: "and", filters: [nested(depth - 1)] };
}

describe("parseFilter", () => {
  it("returns what it was given when that is valid", () => {
    const filter = {
      type: "and",
      filters: [
        { type: "eq", key: "metadata.author", value: "Ann" },
        {
          type: "or",
          filters: [
            { type: "gte", key: "metadata.year", value: 2020.5 },
            { type: "nin", key: "page", value: [1, 2] },
            { type: "in", key: "metadata.x-1_Y", value: ["a", 1, true] },
          ],
        },
      ],
    };
    expect(parseFilter(filter)).toEqual(filter);
  });

  it.each([
    [null, "filter must be an object"],
    ["project == 'x'", "filter must be an object"],
    [{ type: "not", filters: [] }, "filter.type must be one of"],
    [{ type: "and", filters: [] }, "filter.filters must be a list"],
    [{ type: "and", filters: [{ type: "eq", key: "page", value: 1 }, 7] }, "filter.filters[1] must be an object"],
    [{ type: "eq", key: "project", value: "other" }, "filter.key must be one of source"],
    [{ type: "eq", key: "metadata.", value: "x" }, "filter.key must be one of source"],
    [{ type: "eq", key: `metadata.${"k".repeat(65)}`, value: "x" }, "filter.key must be one of source"],
    [{ type: "eq", key: 'metadata.a"] or true', value: "x" }, "filter.key must be one of source"],
    [{ type: "eq", key: "toString", value: "x" }, "filter.key must be one of source"],
    [{ type: "eq", key: "metadata.a\n", value: "x" }, "filter.key must be one of source"],
    [{ type: "eq", key: "source", value: 1 }, "filter.value must be a string"],
    [{ type: "gt", key: "source_prefix", value: "a" }, "filter.type must be eq, ne, in or nin"],
    [{ type: "gt", key: "ingested_at", value: "yesterday" }, "filter.value must be a date"],
    [{ type: "gt", key: "ingested_at", value: 1.5 }, "filter.value must be a date"],
    [{ type: "eq", key: "page", value: 1.5 }, "filter.value must be an integer"],
    [{ type: "eq", key: "page", value: "1" }, "filter.value must be an integer"],
    [{ type: "eq", key: "metadata.a", value: null }, "filter.value must be a string, a finite number"],
    [{ type: "eq", key: "metadata.a", value: Number.NaN }, "filter.value must be a string, a finite number"],
    [{ type: "eq", key: "metadata.a", value: { $ne: 1 } }, "filter.value must be a string, a finite number"],
    [{ type: "gt", key: "metadata.a", value: true }, "true and false have no order"],
    [{ type: "in", key: "metadata.a", value: [] }, "filter.value must be a list"],
    [{ type: "in", key: "metadata.a", value: ["a", null] }, "filter.value[1] must be a string"],
    [{ type: "eq", key: "metadata.a", value: "x".repeat(limits.filterValueCharsMax + 1) }, "has more than 512 characters"],
    [{ type: "eq", key: "metadata.a", value: "\ud800" }, "is not valid Unicode"],
    [{ type: "eq", key: "page", value: 1, expr: "true" }, 'has the unknown field "expr"'],
  ])("refuses %j and says where", (value, message) => {
    expect(messageOf(value)).toContain(message);
  });

  it("holds its limits", () => {
    expect(parseFilter(nested(limits.filterDepthMax))).toBeDefined();
    expect(messageOf(nested(limits.filterDepthMax + 1))).toContain("deeper than 8");
    const condition = { type: "eq", key: "page", value: 1 };
    const conditions = (count: number): unknown => ({ type: "or", filters: Array.from({ length: count }, () => condition) });
    expect(parseFilter(conditions(limits.filterConditionsMax))).toBeDefined();
    expect(messageOf(conditions(limits.filterConditionsMax + 1))).toContain("at most 64 conditions");
    expect(messageOf({ type: "and", filters: [conditions(40), conditions(40)] })).toContain("at most 64 conditions");
    const values = (count: number): unknown => ({ type: "in", key: "page", value: Array.from({ length: count }, (_, i) => i) });
    expect(parseFilter(values(limits.filterValuesMax))).toBeDefined();
    expect(messageOf(values(limits.filterValuesMax + 1))).toContain("at most 256 values");
    expect(messageOf({ type: "and", filters: [values(200), values(200)] })).toContain("at most 256 values");
  });
});

describe("matchesFilter", () => {
  it.each([
    [{ type: "eq", key: "source", value: "docs/a.md" }, true],
    [{ type: "eq", key: "media_type", value: "text/plain" }, false],
    [{ type: "eq", key: "title", value: "überblick" }, false],
    [{ type: "gt", key: "title", value: "Z" }, true],
    [{ type: "eq", key: "metadata.year", value: 2024 }, true],
    [{ type: "eq", key: "metadata.year", value: "2024" }, false],
    [{ type: "ne", key: "metadata.year", value: "2024" }, true],
    [{ type: "lte", key: "metadata.year", value: 2024 }, true],
    [{ type: "lt", key: "metadata.year", value: 2024 }, false],
    [{ type: "gt", key: "metadata.year", value: "1" }, false],
    [{ type: "eq", key: "metadata.draft", value: false }, true],
    [{ type: "eq", key: "metadata.draft", value: 0 }, false],
    [{ type: "eq", key: "metadata.tags", value: "blue" }, true],
    [{ type: "ne", key: "metadata.tags", value: "blue" }, false],
    [{ type: "in", key: "metadata.tags", value: ["green", "red"] }, true],
    [{ type: "nin", key: "metadata.tags", value: ["green"] }, true],
    [{ type: "gt", key: "metadata.tags", value: "a" }, false],
    // Absent: comparisons are false, ne and nin are true.
    [{ type: "eq", key: "page", value: 1 }, false],
    [{ type: "gte", key: "page", value: 0 }, false],
    [{ type: "ne", key: "page", value: 0 }, true],
    [{ type: "nin", key: "metadata.nothing", value: ["x"] }, true],
    [{ type: "in", key: "metadata.nothing", value: ["x"] }, false],
    [{ type: "eq", key: "metadata.constructor", value: "x" }, false],
    [{ type: "ne", key: "metadata.__proto__", value: "x" }, true],
  ])("%j is %s", (filter, expected) => {
    expect(matchesFilter(parseFilter(filter), chunk)).toBe(expected);
  });

  it("combines with and, or", () => {
    const yes = { type: "eq", key: "metadata.author", value: "Ann" };
    const no = { type: "eq", key: "metadata.author", value: "Bob" };
    expect(matchesFilter(parseFilter({ type: "and", filters: [yes, no] }), chunk)).toBe(false);
    expect(matchesFilter(parseFilter({ type: "or", filters: [no, yes] }), chunk)).toBe(true);
  });

  it("orders strings by code point", () => {
    const emoji = { ...chunk, title: "\u{1f600}" };
    expect(matchesFilter(parseFilter({ type: "gt", key: "title", value: "\ufffd" }), emoji)).toBe(true);
    expect(matchesFilter(parseFilter({ type: "lt", key: "title", value: "\u{1f600}a" }), emoji)).toBe(true);
    expect(matchesFilter(parseFilter({ type: "lte", key: "title", value: "\u{1f600}" }), emoji)).toBe(true);
  });
});
