import { MillraceError } from "@millrace/core";

/** What the service says of a request that it did not answer (RFC 9457, with `code` and `hint` as extensions). */
export interface Problem {
  readonly status?: number;
  readonly title?: string;
  readonly detail?: string;
  readonly code?: string;
  readonly hint?: string;
}

/** The service refused a request or failed to answer it. `code` is its own, `retryable` says whether the same request may succeed later. */
export class ApiError extends MillraceError {
  readonly status: number;
  /** When the service says to come back. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, problem: Problem, retryAfterMs?: number) {
    super(
      problem.code ?? `http.${status}`,
      problem.detail ?? problem.title ?? `The query service answered ${status}`,
      status === 429 || status >= 500,
      problem.hint === undefined ? {} : { hint: problem.hint },
    );
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Reads the problem that a reply carries. One that is no problem document comes from something before our service, a proxy perhaps. */
export async function apiErrorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new ApiError(response.status, problemOf(text), Number.isFinite(seconds) ? seconds * 1_000 : undefined);
}

const foreignTextCharsMax = 500;

function problemOf(text: string): Problem {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) return parsed;
  } catch {
    // told as it is, below
  }
  return text === "" ? {} : { detail: text.slice(0, foreignTextCharsMax) };
}
