import { type AskRequest, type ChatMessage, limits, type ProjectName, parseAskRequest } from "@millrace/core";
import { Refusal } from "../problem.ts";

/** A request to `/v1/chat/completions` that has been checked. */
export interface ChatRequest {
  readonly ask: AskRequest;
  /** As the client named it: it is echoed and decides nothing, the service has its own. */
  readonly model: string;
  readonly includeUsage: boolean;
}

/** A chat request asks for something that this service does not do. `param` is where, as OpenAI's errors tell it. */
export class ChatRequestError extends Refusal {
  readonly param: string;

  constructor(code: string, message: string, param: string, hint?: string) {
    super(400, code, message, hint);
    this.param = param;
  }
}

export const chatModel = "millrace";

const roles: Readonly<Record<string, ChatMessage["role"]>> = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
};

/**
 * Reads OpenAI's form: the last message of the user is the question, all before it the conversation. Sampling parameters are accepted and unused;
 * what would change the form of the answer is refused. `millrace` may hold `top_k`, `filter`, `mode` and `weights` as for `/v1/ask`.
 * @throws ChatRequestError `chat.…`; InvalidInputError as `parseAskRequest` does
 */
export function parseChatRequest(project: ProjectName, body: unknown): ChatRequest {
  const fields = fieldsOf(body);
  const { model = chatModel, messages, stream = false, stream_options: streamOptions, millrace } = fields;
  if (typeof model !== "string") throw new ChatRequestError("chat.model", "`model` is not a text", "model");
  refuseUnsupported(fields);
  const answerTokensMax = fields["max_completion_tokens"] ?? fields["max_tokens"] ?? undefined;
  if (answerTokensMax !== undefined && !(Number.isInteger(answerTokensMax) && (answerTokensMax as number) > 0))
    throw new ChatRequestError("chat.max_tokens", "`max_tokens` is not a whole number above 0", "max_tokens");
  const { question, conversation } = split(parseMessages(messages));
  const ask = parseAskRequest(project, { ...fieldsOf(millrace), question, stream: stream ?? false });
  return {
    ask: { ...ask, conversation, ...(answerTokensMax === undefined ? {} : { answerTokensMax: answerTokensMax as number }) },
    model,
    includeUsage: fieldsOf(streamOptions)["include_usage"] === true,
  };
}

function refuseUnsupported({ n, response_format: format, tool_choice: toolChoice, audio }: Readonly<Record<string, unknown>>): void {
  if (n !== undefined && n !== null && n !== 1)
    throw new ChatRequestError("chat.n", "One answer at a time is made: `n` can only be 1", "n");
  const formatType = fieldsOf(format)["type"];
  if (formatType !== undefined && formatType !== "text")
    throw new ChatRequestError(
      "chat.response_format",
      "Answers are text with citations: `response_format` can only be text",
      "response_format",
    );
  if (toolChoice === "required" || (typeof toolChoice === "object" && toolChoice !== null))
    throw new ChatRequestError("chat.tool_choice", "No tools are called here, so none can be required", "tool_choice");
  if (audio !== undefined && audio !== null) throw new ChatRequestError("chat.audio", "Answers are text: there is no `audio`", "audio");
}

function parseMessages(messages: unknown): ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0 || messages.length > limits.chatMessagesMax) {
    throw new ChatRequestError("chat.messages", `\`messages\` is a list of 1 to ${limits.chatMessagesMax} messages`, "messages");
  }
  return messages.map((message, index) => {
    const { role, content, tool_calls: toolCalls } = fieldsOf(message);
    const known = typeof role === "string" ? roles[role] : undefined;
    if (known === undefined || (Array.isArray(toolCalls) && toolCalls.length > 0)) {
      const problem = `A message is of system, developer, user or assistant, and calls no tools; not of ${JSON.stringify(role)?.slice(0, 40)}`;
      throw new ChatRequestError("chat.role", problem, `messages[${index}].role`);
    }
    return { role: known, content: textOf(content, index) };
  });
}

function textOf(content: unknown, index: number): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw new ChatRequestError("chat.content", "The content of a message is text", `messages[${index}].content`);
  return content
    .map((part, at) => {
      const { type, text } = fieldsOf(part);
      if (type === "text" && typeof text === "string") return text;
      const problem = `Only text can be asked about, not ${JSON.stringify(type)?.slice(0, 40)}`;
      throw new ChatRequestError(
        "chat.unsupported_content",
        problem,
        `messages[${index}].content[${at}]`,
        "Ingest files instead: they are read there.",
      );
    })
    .join("\n");
}

function split(messages: readonly ChatMessage[]): { question: string; conversation: ChatMessage[] } {
  const at = messages.findLastIndex(({ role }) => role === "user");
  const question = messages[at];
  if (question === undefined || messages.slice(at).some(({ role }) => role === "assistant")) {
    throw new ChatRequestError("chat.question", "The last message is not the user's: there is no question to answer", "messages");
  }
  return { question: question.content, conversation: messages.toSpliced(at, 1) };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
