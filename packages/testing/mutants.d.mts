/** A guard, and what stands in its place when it is taken away. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** The test that must fail then. */
  readonly test: string;
}
export const mutants: readonly Mutant[];
