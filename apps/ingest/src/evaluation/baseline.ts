import { InvalidInputError } from "@millrace/core";
import type { Evaluation } from "./evaluate.ts";
import { measures, type Quality } from "./metrics.ts";

/** What of an evaluation is kept to be compared with. */
export interface Baseline {
  readonly object: "millrace.evaluation";
  readonly runs: readonly {
    readonly mode: string;
    readonly mean: Quality;
    readonly queries: readonly { readonly id: string; readonly quality: Quality }[];
  }[];
}

export interface Comparison {
  readonly mode: string;
  readonly before: Quality;
  readonly after: Quality;
  /** Queries whose nDCG@10 rose, fell and stayed; the judgement of single queries says more than a mean. */
  readonly better: number;
  readonly worse: number;
  readonly same: number;
  /** Those that fell most, at most ten. */
  readonly falls: readonly { readonly id: string; readonly before: number; readonly after: number }[];
  /** Measures whose mean fell by more than the tolerance. */
  readonly failed: readonly (keyof Quality)[];
}

/** @throws InvalidInputError `eval.baseline` */
export function parseBaseline(text: string, name: string): Baseline {
  try {
    const value = JSON.parse(text) as Partial<Baseline> | null;
    if (value?.object === "millrace.evaluation" && Array.isArray(value.runs)) return value as Baseline;
  } catch {
    // refused below
  }
  throw new InvalidInputError("eval.baseline", `${name} is no saved evaluation`, {
    hint: "Write one with `millrace eval … --save <file>`.",
  });
}

/**
 * Both over the queries that both have, so that a changed set of queries is not taken for a changed quality.
 * @throws InvalidInputError `eval.baseline` where the baseline lacks the mode, or has no query in common
 */
export function compare(baseline: Baseline, { mode, queries }: Evaluation, tolerance: number): Comparison {
  const saved = baseline.runs.find((run) => run.mode === mode);
  if (saved === undefined) throw new InvalidInputError("eval.baseline", `The baseline has no evaluation of the mode ${mode}`);
  const earlier = new Map(saved.queries.map(({ id, quality }) => [id, quality]));
  const pairs = queries.flatMap(({ id, quality }) => {
    const before = earlier.get(id);
    return before === undefined ? [] : [{ id, before, after: quality }];
  });
  if (pairs.length === 0) throw new InvalidInputError("eval.baseline", "The baseline has none of these queries");
  const mean = (side: "before" | "after", measure: keyof Quality): number =>
    pairs.reduce((sum, pair) => sum + pair[side][measure], 0) / pairs.length;
  const meanOf = (side: "before" | "after"): Quality =>
    Object.fromEntries(measures.map((measure) => [measure, mean(side, measure)])) as unknown as Quality;
  const [before, after] = [meanOf("before"), meanOf("after")];
  const changes = pairs.map(({ id, before, after }) => ({ id, before: before.ndcg10, after: after.ndcg10 }));
  const falls = changes.filter(({ before, after }) => after < before);
  return {
    mode,
    before,
    after,
    better: changes.filter(({ before, after }) => after > before).length,
    worse: falls.length,
    same: changes.filter(({ before, after }) => after === before).length,
    falls: falls.toSorted((a, b) => a.after - a.before - (b.after - b.before)).slice(0, 10),
    failed: measures.filter((measure) => before[measure] - after[measure] > tolerance),
  };
}
