import { isMillraceError, type MillraceError } from "@millrace/core";
import type { Logger } from "@millrace/runtime";

const retryAfterSeconds = 2;

/** A refusal with its HTTP status, for what is a matter of HTTP alone (keys, routes, sizes). */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  /** For the reply, beside those that follow from the status. */
  readonly headers: Readonly<Record<string, string>> = {};
  /** Further members of the problem details. */
  readonly extensions: Readonly<Record<string, unknown>> = {};

  constructor(status: number, code: string, message: string, hint?: string, retryAfter?: number) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
    this.retryAfterSeconds = retryAfter ?? (status === 503 ? retryAfterSeconds : undefined);
  }
}

/** One of the two places where errors are mapped to the outside. What is not ours is a 500 without its inner words. */
export function problemOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof Error && error.name === "TimeoutError") return new Refusal(503, "request.timeout", "The request took too long");
  if (error instanceof Error && error.name === "AbortError") return new Refusal(499, "request.aborted", "The client left");
  if (!isMillraceError(error)) return new Refusal(500, "internal", "Something failed that should not; the log has the details");
  return new Refusal(statusOf(error), error.code, error.message, error.hint);
}

function statusOf({ code, retryable, name }: MillraceError): number {
  if (code === "embed.space_mismatch") return 409;
  if (retryable) return 503;
  return name === "InvalidInputError" ? 400 : 500;
}

/** The reply to a request that failed, noted in the log where the fault is ours. */
export function replyTo(error: unknown, path: string, logger: Logger): Response {
  return problemResponse(notedProblemOf(error, path, logger), path);
}

/** The problem of a request that failed, noted in the log where the fault is ours. */
export function notedProblemOf(error: unknown, path: string, logger: Logger): Refusal {
  const problem = problemOf(error);
  if (problem.status >= 500) logger.error({ err: error, code: isMillraceError(error) ? error.code : undefined, path }, "request.failed");
  return problem;
}

/** RFC 9457 problem details, with `code` and `hint` as extensions. */
export function problemResponse(problem: Refusal, instance: string): Response {
  const { status, code, message, hint, extensions } = problem;
  const body = {
    type: `urn:millrace:problem:${code}`,
    title: titles[status] ?? "Error",
    status,
    detail: message,
    code,
    ...(hint === undefined ? {} : { hint }),
    instance,
    ...extensions,
  };
  return new Response(JSON.stringify(body), { status, headers: headersOf(problem, "application/problem+json") });
}

/** The headers of a refusal, in whatever form its body is. */
export function headersOf({ status, headers, retryAfterSeconds: retryAfter }: Refusal, contentType: string): Record<string, string> {
  return {
    "content-type": contentType,
    "cache-control": "no-store",
    ...(status === 401 ? { "www-authenticate": 'Bearer realm="millrace"' } : {}),
    ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
    ...headers,
  };
}

const titles: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Unauthorised",
  403: "Forbidden",
  404: "Not found",
  409: "Conflict",
  413: "Too large",
  415: "Unsupported media type",
  422: "Unprocessable",
  429: "Too many requests",
  499: "Client closed request",
  500: "Internal error",
  503: "Unavailable",
};
