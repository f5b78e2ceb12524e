import { InvalidInputError } from "./errors.ts";

/** The isolation unit. A branded string, so that an unchecked name cannot reach a key, a filter or a path. */
export type ProjectName = string & { readonly brand: unique symbol };

const projectPattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** @throws InvalidInputError `project.invalid_name` */
export function parseProjectName(value: string): ProjectName {
  if (!projectPattern.test(value)) {
    throw new InvalidInputError("project.invalid_name", `"${value.slice(0, 80)}" is not a project name`, {
      hint: "Use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit.",
    });
  }
  return value as ProjectName;
}
