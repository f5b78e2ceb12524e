import { DependencyError, errorMessage, InvalidInputError, MillraceError } from "@millrace/core";

/** One hit as the query service tells it. */
export interface SearchHit {
  readonly document_id: string;
  readonly source: string;
  readonly chunk_id: string;
  readonly page?: number | null;
  readonly headings: readonly string[];
  readonly text: string;
  readonly score: number;
}

export interface SearchReply {
  readonly data: readonly SearchHit[];
  readonly cache: "hit" | "miss";
  readonly took_ms: number;
}

export interface SearchCall {
  readonly url: string;
  readonly apiKey: string;
  readonly project: string;
  readonly body: { readonly query: string; readonly top_k?: number; readonly filter?: unknown };
}

const timeoutMs = 35_000;

/**
 * @throws InvalidInputError with the service's code where it refused the request; DependencyError `query.unavailable` where it does not answer;
 *   MillraceError with its code for everything else
 */
export async function search({ url, apiKey, project, body }: SearchCall): Promise<SearchReply> {
  let response: Response;
  try {
    response = await fetch(new URL("/v1/search", url), {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}`, "x-millrace-project": project },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    throw new DependencyError("query.unavailable", `No query service answers at ${url}: ${causeOf(error)}`, {
      cause: error,
      hint: "Start it with `millrace up --detach`, or set MILLRACE_HOST and MILLRACE_PORT to where it listens.",
    });
  }
  // Our own service answers; its contract is tested there.
  if (response.ok) return (await response.json()) as SearchReply;
  throw await problemOf(response);
}

/** Whether the service and everything it depends on answer. */
export async function isQueryServiceReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(new URL("/readyz", url), { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

async function problemOf(response: Response): Promise<MillraceError> {
  const text = await response.text();
  let problem: { code?: string; detail?: string; title?: string; hint?: string } = {};
  try {
    problem = JSON.parse(text) as typeof problem;
  } catch {
    problem = { detail: text.slice(0, 500) }; // not from our service: a proxy, perhaps
  }
  const code = problem.code ?? `http.${response.status}`;
  const message = problem.detail ?? problem.title ?? `The query service answered ${response.status}`;
  const options = problem.hint === undefined ? {} : { hint: problem.hint };
  if (response.status === 401 || response.status === 403) return new MillraceError(code, message, false, options);
  return response.status < 500 ? new InvalidInputError(code, message, options) : new DependencyError(code, message, options);
}

/** fetch hides the reason ("connect ECONNREFUSED …") in a cause, and that of several addresses in another. */
function causeOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  if (inner instanceof AggregateError && inner.errors.length > 0) inner = inner.errors[0];
  return errorMessage(inner);
}
