/**
 * From what a library does by default to what we do, one change at a time. Each step keeps the changes before it.
 * @typedef {object} Step
 * @property {string} name the change
 * @property {"plain" | "exchange" | "serving"} graph
 * @property {"fp32" | "int8"} dtype
 * @property {"arrival" | "length"} order
 * @property {{ rows: number } | { paddedTokens: number }} batch
 * @property {boolean} processPerCore else one session with a thread per core
 * @property {boolean} tokenise by the library's tokenizer, else from ids that are there
 */

const rows = (count) => ({ rows: count });

/** @type {Step} */
const byDefault = {
  name: "default: fp32, padded batches of 32 in order of arrival",
  graph: "plain",
  dtype: "fp32",
  order: "arrival",
  batch: rows(32),
  processPerCore: false,
  tokenise: true,
};

/** The best of 256 to 4,096 on the machines tried. */
const paddedTokensMax = 1_024;

const changes = [
  { name: "sorted by length", order: "length" },
  { name: "batches by tokens", batch: { paddedTokens: paddedTokensMax } },
  { name: "a process per core", processPerCore: true },
  { name: "our own graph", graph: "exchange" },
  { name: "int8", dtype: "int8" },
  { name: "no padding: one text at a time", graph: "serving", batch: rows(1) },
  { name: "token ids reused", tokenise: false },
];

/** @type {readonly Step[]} */
export const steps = [byDefault];
for (const change of changes) steps.push({ ...steps.at(-1), ...change });

/** The first step of each arithmetic: the others give the same vectors, but for the order of additions. */
export const arithmetics = steps.filter(({ name }) =>
  [byDefault.name, "our own graph", "int8", "no padding: one text at a time"].includes(name),
);
