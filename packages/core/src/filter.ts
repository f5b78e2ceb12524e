/**
 * A typed filter tree in the shape of OpenAI's vector-store filters. Callers never hand in an expression: the tree is
 * validated here, serialised by one function in `@millrace/vector-store`, and the project clause is added outside of it.
 */
export type FilterValue = string | number | boolean;

export type Filter =
  | { readonly type: "eq" | "ne" | "gt" | "gte" | "lt" | "lte"; readonly key: string; readonly value: FilterValue }
  | { readonly type: "in" | "nin"; readonly key: string; readonly value: readonly FilterValue[] }
  | { readonly type: "and" | "or"; readonly filters: readonly Filter[] };
