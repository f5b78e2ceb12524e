import { InvalidInputError } from "@millrace/core";
import { type DocumentState, documentStates } from "@millrace/ledger";
import { InvalidArgumentError } from "commander";

/** Parsers of option values; what they throw, commander turns into a usage error that names the option. */
export function integerBetween(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max)
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return number;
  };
}

export function documentState(value: string): DocumentState {
  const state = documentStates.find((each) => each === value);
  if (state === undefined) throw new InvalidArgumentError(`It must be one of ${documentStates.join(", ")}.`);
  return state;
}

/** The value of `--filter`. @throws InvalidInputError `filter.not_json` */
export function filterOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidInputError("filter.not_json", "--filter is not JSON", {
      cause: error,
      hint: 'For example: --filter \'{"key":"source","op":"eq","value":"README.md"}\'',
    });
  }
}
