import { type Filter, type FusionWeights, InvalidInputError, parseFilter } from "@millrace/core";
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

export function decimal(value: string): number {
  const number = Number(value);
  if (!/^-?\d+(\.\d+)?$/.test(value)) throw new InvalidArgumentError("It must be a number.");
  return number;
}

/** `1,0.5`: the weight of the hits by meaning, and of those by words. The core knows what is allowed. */
export function fusionWeights(value: string): FusionWeights {
  const [dense, keyword, ...more] = value.split(",").map(decimal);
  if (dense === undefined || keyword === undefined || more.length > 0)
    throw new InvalidArgumentError("It must be two numbers, such as 1,0.5.");
  return { dense, keyword };
}

/** Chunks before and after a hit, or its section; the core knows how many there may be. */
export function expansion(value: string): number | "section" {
  if (value === "section") return value;
  if (!/^\d{1,6}$/.test(value)) throw new InvalidArgumentError('It must be a whole number or "section".');
  return Number(value);
}

export function documentState(value: string): DocumentState {
  const state = documentStates.find((each) => each === value);
  if (state === undefined) throw new InvalidArgumentError(`It must be one of ${documentStates.join(", ")}.`);
  return state;
}

/** The value of `--filter`. @throws InvalidInputError `filter.not_json`, `filter.invalid` */
export function filterOf(text: string): Filter {
  return parseFilter(parseJson(text));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidInputError("filter.not_json", "--filter is not JSON", {
      cause: error,
      hint: 'For example: --filter \'{"type":"eq","key":"source","value":"README.md"}\'',
    });
  }
}
