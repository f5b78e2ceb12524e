import { DependencyError } from "@millrace/core";

/** The vector with length 1; mean and sum have the same direction. @throws DependencyError `embed.bad_vector` where it has none */
export function unitVector(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  // Also false for NaN.
  if (!(norm > 0 && norm < Number.POSITIVE_INFINITY)) {
    throw new DependencyError("embed.bad_vector", `The model gave a vector of length ${norm}, which has no direction`);
  }
  return vector.map((value) => value / norm);
}
