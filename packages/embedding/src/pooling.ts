import { DependencyError } from "@millrace/core";
import { unitVector } from "./unit-vector.ts";

export type Pooling = "mean" | "cls" | "last";

export interface TokenStates {
  readonly data: unknown;
  /** texts × tokens × dimension */
  readonly dims: readonly number[];
}

/**
 * One unit-length vector per text from the states of its tokens, padding on the right left out.
 * @param lengths tokens per text
 * @throws DependencyError `embed.bad_output` where the model gives something else than was configured, `embed.bad_vector`
 */
export function poolTokens({ data, dims }: TokenStates, lengths: readonly number[], dimension: number, pooling: Pooling): Float32Array[] {
  const [texts = 0, tokens = 0, width = 0] = dims;
  if (!(data instanceof Float32Array) || dims.length !== 3 || texts !== lengths.length || width !== dimension) {
    const given = dims.length === 0 ? "no token states" : `token states of ${dims.join("×")}`;
    throw new DependencyError("embed.bad_output", `The model gave ${given} for ${lengths.length} texts of dimension ${dimension}`, {
      hint: "Is `dimension` that of the model?",
    });
  }
  return lengths.map((length, text) => {
    const [from, to] = pooling === "mean" ? [0, length] : pooling === "cls" ? [0, 1] : [length - 1, length];
    const sum = new Float32Array(dimension);
    for (let token = from; token < to; token++) {
      const offset = (text * tokens + token) * dimension;
      for (let index = 0; index < dimension; index++) sum[index] = (sum[index] ?? 0) + (data[offset + index] ?? 0);
    }
    return unitVector(sum);
  });
}
