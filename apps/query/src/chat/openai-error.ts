import type { Logger } from "@millrace/runtime";
import { headersOf, notedProblemOf, type Refusal } from "../problem.ts";
import { ChatRequestError } from "./chat-request.ts";

/** Whether clients of OpenAI's library read the replies of this route. */
export function speaksOpenAi(path: string): boolean {
  return path === "/v1/chat/completions" || path === "/v1/models" || path.startsWith("/v1/models/");
}

/** The reply to a request that failed, as OpenAI's clients understand it, noted in the log where the fault is ours. */
export function openAiReplyTo(error: unknown, path: string, logger: Logger): Response {
  const problem = notedProblemOf(error, path, logger);
  const param = error instanceof ChatRequestError ? error.param : null;
  return new Response(JSON.stringify(openAiError(problem, param)), {
    status: problem.status,
    headers: headersOf(problem, "application/json"),
  });
}

/** `{"error": {message, type, param, code}}` */
export function openAiError({ status, code, message, hint }: Refusal, param: string | null = null): Readonly<Record<string, unknown>> {
  return { error: { message: hint === undefined ? message : `${message}. ${hint}`, type: typeOf(status), param, code } };
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}
