/**
 * Guards, and what is left of the code when each is taken away. The test named beside it must then fail: `npm run mutants` takes them away in turn, and
 * a test of the suite checks that every guard still stands where this list says.
 *
 * A mutant is a piece of a source file (`from`, which occurs once) and what stands there instead (`to`).
 */
export const mutants = [
  {
    name: "store: a row of another project is let through",
    file: "packages/vector-store/src/row.ts",
    from: "if (row.project !== project) {",
    to: "if (row.project === undefined) {",
    test: "packages/vector-store/src/row.test.ts",
  },
  {
    name: "store: rows are read by key whatever their project",
    file: "packages/vector-store/src/milvus-vector-store.ts",
    from: 'if (row["project"] === project) found.push(toChunk(row as unknown as Row, project));',
    to: 'found.push(toChunk(row as unknown as Row, row["project"] as ProjectName));',
    test: "packages/vector-store/test/conformance.test.ts",
  },
  {
    name: "store: strings are not escaped in expressions",
    file: "packages/vector-store/src/filter-expression.ts",
    from: 'return `"${text.replace(/["\\\\\\n\\r\\t]/g, (character) => escapes[character] ?? character)}"`;',
    to: 'return `"${text}"`;',
    test: "packages/vector-store/src/filter-expression.test.ts",
  },
  {
    name: "filter: any key is taken",
    file: "packages/core/src/filter.ts",
    from: 'if (typeof key !== "string" || !(Object.hasOwn(builtInKeys, key) || metadataKeyPattern.test(key))) {',
    to: 'if (typeof key !== "string") {',
    test: "packages/core/src/filter.test.ts",
  },
];
