/**
 * Loaded with `node --import` by everything that a test of a mutant spawns: puts the mutant that MILLRACE_MUTANT names into the built file that it is of, as
 * `vitest.config.ts` does with the sources. Registers itself as a hook, so this runs twice: in the process, and on the thread of its hooks.
 */
import { readFileSync } from "node:fs";
import { register } from "node:module";
import { isMainThread } from "node:worker_threads";

if (isMainThread) register(import.meta.url);

const mutants = JSON.parse(readFileSync(new URL("./mutants.json", import.meta.url), "utf8"));
const mutant = mutants.find(({ name }) => name === process.env.MILLRACE_MUTANT);

/** `packages/x/src/y.ts` is built as `packages/x/dist/y.js`. */
const builtFileOf = (file) => file.replace("/src/", "/dist/").replace(/\.ts$/, ".js");

export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (mutant === undefined || !url.endsWith(builtFileOf(mutant.file))) return loaded;
  return { ...loaded, source: String(loaded.source).replace(mutant.from, () => mutant.to) };
}
