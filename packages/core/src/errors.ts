/**
 * One base class, few subclasses named for what the caller does next. `code` is stable and machine-readable
 * (`parse.encrypted`, `store.unavailable`), `retryable` says whether the same call may succeed later. Errors are mapped to the
 * outside in exactly two places: the worker (retry or give up) and the HTTP service (problem+json). The marker symbol keeps
 * `isMillraceError` true across duplicated module instances and structured clones that rebuild the class.
 */
const marker = Symbol.for("millrace.error");

export interface MillraceErrorOptions {
  /** What to do about it, in one sentence for the person reading it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

export class MillraceError extends Error {
  readonly [marker] = true;
  readonly code: string;
  readonly retryable: boolean;
  readonly hint: string | undefined;

  constructor(code: string, message: string, retryable: boolean, options: MillraceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = retryable;
    this.hint = options.hint;
  }
}

/** The request or document is wrong and stays wrong: never retried, HTTP 4xx. */
export class InvalidInputError extends MillraceError {
  constructor(code: string, message: string, options?: MillraceErrorOptions) {
    super(code, message, false, options);
  }
}

/** One document cannot be processed, for a reason of its own (`parse.encrypted`, `parse.too_large`): its final state, never retried. */
export class DocumentError extends MillraceError {
  constructor(code: string, message: string, options?: MillraceErrorOptions) {
    super(code, message, false, options);
  }
}

/** A dependency (Redis, Milvus, a child process) is down, slow or broken: retried, HTTP 503. */
export class DependencyError extends MillraceError {
  constructor(code: string, message: string, options?: MillraceErrorOptions) {
    super(code, message, true, options);
  }
}

/** The configuration or environment is wrong: the process prints it and exits 2. */
export class ConfigError extends MillraceError {
  constructor(code: string, message: string, options?: MillraceErrorOptions) {
    super(code, message, false, options);
  }
}

export function isMillraceError(value: unknown): value is MillraceError {
  return value instanceof Error && (value as { [marker]?: unknown })[marker] === true;
}

/** The message of anything thrown, for logs and ledger entries. */
export function errorMessage(value: unknown): string {
  return value instanceof Error ? value.message : String(value);
}
