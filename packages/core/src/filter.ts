import { InvalidInputError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { StoredHit } from "./ports.ts";

/**
 * A typed filter tree in the shape of OpenAI's vector-store filters. Callers never hand in an expression: the tree is
 * validated here, serialised by one function in `@millrace/vector-store`, and the project clause is added outside of it.
 *
 * Semantics, the same in every store:
 * - A key is one of the built-in ones (`source`, `source_prefix`, `media_type`, `title`, `page`, `document_id`, `ingested_at`) or
 *   `metadata.<key>`.
 * - `source_prefix` is equal to what the source begins with; it has no order.
 * - `ingested_at` is when the version arrived, in milliseconds since the epoch; an ISO 8601 date or time is read as that.
 * - A condition on a key that a chunk does not have is false, except `ne` and `nin`, which are true: they mean "not (eq)"
 *   and "not (in)".
 * - Values of different types are never equal and have no order: "2024" is not 2024, and 1 is not true.
 * - A metadata list matches `eq` and `in` when one of its elements does; it has no order.
 * - Strings are ordered by Unicode code point, exactly as written: no case folding, no normalisation.
 */
export type FilterValue = string | number | boolean;

export type Filter =
  | { readonly type: "eq" | "ne" | "gt" | "gte" | "lt" | "lte"; readonly key: string; readonly value: FilterValue }
  | { readonly type: "in" | "nin"; readonly key: string; readonly value: readonly FilterValue[] }
  | { readonly type: "and" | "or"; readonly filters: readonly Filter[] };

type FilterOrder = "gt" | "gte" | "lt" | "lte";

/**
 * Checks an untrusted value and returns it as a filter that holds nothing else than what the type says.
 * @throws InvalidInputError `filter.invalid`, naming the place in the tree, e.g. `filter.filters[1].value`
 */
export function parseFilter(value: unknown): Filter {
  return parseNode(value, "filter", 1, { conditions: 0, values: 0 });
}

/** The reference evaluator: whether a chunk satisfies a filter. Every store must agree with it. */
export function matchesFilter(filter: Filter, hit: FilterableChunk): boolean {
  switch (filter.type) {
    case "and":
      return filter.filters.every((part) => matchesFilter(part, hit));
    case "or":
      return filter.filters.some((part) => matchesFilter(part, hit));
    case "eq":
      return equals(hit, filter.key, filter.value);
    case "ne":
      return !equals(hit, filter.key, filter.value);
    case "in":
      return filter.value.some((value) => equals(hit, filter.key, value));
    case "nin":
      return !filter.value.some((value) => equals(hit, filter.key, value));
    default:
      return isOrdered(filter.type, lookUp(hit, filter.key), filter.value);
  }
}

export type FilterableChunk = Pick<StoredHit, "source" | "mediaType" | "title" | "page" | "documentId" | "ingestedAt" | "metadata">;

const builtInKeys: Readonly<Record<string, "string" | "prefix" | "integer" | "time">> = {
  source: "string",
  source_prefix: "prefix",
  media_type: "string",
  title: "string",
  page: "integer",
  document_id: "string",
  ingested_at: "time",
};
const metadataKeyPattern = /^metadata\.[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
const operators = "eq, ne, gt, gte, lt, lte, in, nin, and, or";

interface Budget {
  conditions: number;
  values: number;
}

function parseNode(value: unknown, path: string, depth: number, budget: Budget): Filter {
  if (depth > limits.filterDepthMax) throw invalid(path, `is nested deeper than ${limits.filterDepthMax} levels`);
  if (!isRecord(value)) throw invalid(path, "must be an object");
  const type = value["type"];
  switch (type) {
    case "and":
    case "or": {
      onlyFields(value, ["type", "filters"], path);
      const filters = value["filters"];
      if (!Array.isArray(filters) || filters.length === 0) throw invalid(`${path}.filters`, "must be a list of one or more filters");
      // Counted before the children are read, so that a list of a million empty filters costs nothing.
      if (filters.length > limits.filterConditionsMax) throw tooManyConditions(path);
      return { type, filters: filters.map((part, index) => parseNode(part, `${path}.filters[${index}]`, depth + 1, budget)) };
    }
    case "eq":
    case "ne":
    case "gt":
    case "gte":
    case "lt":
    case "lte": {
      const key = parseCondition(value, path, budget);
      if (++budget.values > limits.filterValuesMax) throw tooManyValues(path);
      const parsed = parseValue(value["value"], key, `${path}.value`);
      if (type !== "eq" && type !== "ne") {
        if (typeof parsed === "boolean")
          throw invalid(`${path}.value`, `must be a string or a number: true and false have no order ("${type}")`);
        if (key === "source_prefix") throw invalid(`${path}.type`, `must be eq, ne, in or nin: a source_prefix has no order`);
      }
      return { type, key, value: parsed };
    }
    case "in":
    case "nin": {
      const key = parseCondition(value, path, budget);
      const values = value["value"];
      if (!Array.isArray(values) || values.length === 0) throw invalid(`${path}.value`, "must be a list of one or more values");
      budget.values += values.length;
      if (budget.values > limits.filterValuesMax) throw tooManyValues(path);
      return { type, key, value: values.map((item, index) => parseValue(item, key, `${path}.value[${index}]`)) };
    }
    default:
      throw invalid(`${path}.type`, `must be one of ${operators}`);
  }
}

/** The checked key of a comparison. */
function parseCondition(value: Readonly<Record<string, unknown>>, path: string, budget: Budget): string {
  onlyFields(value, ["type", "key", "value"], path);
  if (++budget.conditions > limits.filterConditionsMax) throw tooManyConditions(path);
  const key = value["key"];
  if (typeof key !== "string" || !(Object.hasOwn(builtInKeys, key) || metadataKeyPattern.test(key))) {
    throw invalid(
      `${path}.key`,
      `must be one of ${Object.keys(builtInKeys).join(", ")}, or "metadata.<key>" with 1 to 64 of A-Z, a-z, 0-9, "_" and "-"`,
    );
  }
  return key;
}

function parseValue(value: unknown, key: string, path: string): FilterValue {
  const builtIn = Object.hasOwn(builtInKeys, key) ? builtInKeys[key] : undefined;
  if (builtIn === "integer") {
    if (!Number.isSafeInteger(value)) throw invalid(path, `must be an integer ("${key}")`);
    return Number(value);
  }
  if (builtIn === "time") return parseTime(value, path);
  if (typeof value === "string") {
    if (value.length > limits.filterValueCharsMax) throw invalid(path, `has more than ${limits.filterValueCharsMax} characters`);
    // A lone surrogate cannot be sent as UTF-8; it would be compared as another character.
    if (/\p{Surrogate}/u.test(value)) throw invalid(path, "is not valid Unicode");
    return value;
  }
  if (builtIn !== undefined) throw invalid(path, `must be a string ("${key}")`);
  if (typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw invalid(path, "must be a string, a finite number, true or false");
}

const isoTime = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/;

function parseTime(value: unknown, path: string): number {
  const time = typeof value === "string" && isoTime.test(value) ? Date.parse(value) : value;
  if (typeof time !== "number" || !Number.isSafeInteger(time)) {
    throw invalid(path, 'must be a date such as "2026-01-31", a time such as "2026-01-31T08:00:00Z", or whole milliseconds since 1970');
  }
  return time;
}

function onlyFields(value: Readonly<Record<string, unknown>>, fields: readonly string[], path: string): void {
  for (const field of Object.keys(value)) {
    if (!fields.includes(field)) throw invalid(path, `has the unknown field "${field.slice(0, 64)}"`);
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function tooManyConditions(path: string): InvalidInputError {
  return invalid(path, `is too large: at most ${limits.filterConditionsMax} conditions are allowed`);
}

function tooManyValues(path: string): InvalidInputError {
  return invalid(path, `is too large: at most ${limits.filterValuesMax} values are allowed in all conditions together`);
}

function invalid(path: string, problem: string): InvalidInputError {
  return new InvalidInputError("filter.invalid", `${path} ${problem}`, {
    hint: 'For example {"type":"eq","key":"metadata.author","value":"Ann"}.',
  });
}

function lookUp(hit: FilterableChunk, key: string): FilterValue | readonly string[] | undefined {
  switch (key) {
    case "source":
      return hit.source;
    case "media_type":
      return hit.mediaType;
    case "title":
      return hit.title;
    case "page":
      return hit.page;
    case "document_id":
      return hit.documentId;
    case "ingested_at":
      return hit.ingestedAt;
  }
  const name = key.slice("metadata.".length);
  return Object.hasOwn(hit.metadata, name) ? hit.metadata[name] : undefined;
}

function equals(hit: FilterableChunk, key: string, expected: FilterValue): boolean {
  if (key === "source_prefix") return hit.source.startsWith(String(expected));
  const actual = lookUp(hit, key);
  return typeof actual === "object" ? actual.some((element) => element === expected) : actual === expected;
}

function isOrdered(type: FilterOrder, actual: FilterValue | readonly string[] | undefined, expected: FilterValue): boolean {
  let order: number;
  if (typeof actual === "number" && typeof expected === "number") order = actual - expected;
  else if (typeof actual === "string" && typeof expected === "string") order = compareCodePoints(actual, expected);
  else return false;
  switch (type) {
    case "gt":
      return order > 0;
    case "gte":
      return order >= 0;
    case "lt":
      return order < 0;
    case "lte":
      return order <= 0;
  }
}

/** Code point order, which is the byte order of UTF-8; `<` compares UTF-16 units and puts U+FFFD after U+1F600. */
function compareCodePoints(a: string, b: string): number {
  const left = a[Symbol.iterator]();
  const right = b[Symbol.iterator]();
  for (;;) {
    const x = left.next().value?.codePointAt(0) ?? -1;
    const y = right.next().value?.codePointAt(0) ?? -1;
    if (x !== y || x === -1) return x - y;
  }
}
