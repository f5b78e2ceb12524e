import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What the server was asked. */
export interface LlmRequest {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

/** Plays one answer; whatever it leaves open is closed when the client leaves. */
export type LlmScript = (response: ServerResponse, request: LlmRequest) => void | Promise<void>;

/** An OpenAI-compatible chat server that answers by script: real HTTP, real server-sent events. */
export interface ScriptedLlm {
  readonly baseUrl: string;
  readonly requests: readonly LlmRequest[];
  /** Answers under way. */
  readonly open: number;
  /** For requests from now on: one each in this order, the last for all that follow. */
  play(...scripts: LlmScript[]): void;
  close(): Promise<void>;
}

export async function startScriptedLlm(): Promise<ScriptedLlm> {
  const requests: LlmRequest[] = [];
  let scripts: LlmScript[] = [llmScripts["says nothing"] as LlmScript];
  let open = 0;
  const server = createServer((request, response) => {
    open++;
    response.once("close", () => open--);
    response.on("error", () => undefined); // the client may leave in the middle of a write
    let body = "";
    request.on("data", (part: Buffer) => {
      body += part.toString();
    });
    request.once("end", () => {
      const asked = JSON.parse(body) as LlmRequest;
      requests.push(asked);
      const script = scripts.length > 1 ? scripts.shift() : scripts[0];
      void script?.(response, asked);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    get open() {
      return open;
    },
    play(...next) {
      requests.length = 0;
      scripts = next;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** One token of an answer as OpenAI streams it. */
export function llmChunk(content: string | undefined, finish: string | null = null): string {
  const delta = content === undefined ? {} : { content };
  return `data: ${JSON.stringify({ object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
}

const usageChunk = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 } })}\n\n`;

/** Says a text, token by token, and ends as it should. */
export function says(text: string, { finish = "stop", usage = true }: { finish?: string; usage?: boolean } = {}): LlmScript {
  return (response) => {
    begin(response);
    for (const token of text.match(/\s*\S{1,6}/g) ?? []) response.write(llmChunk(token));
    response.end(`${llmChunk(undefined, finish)}${usage ? usageChunk : ""}data: [DONE]\n\n`);
  };
}

/** Refuses with a status. */
export function refuses(status: number, headers: Record<string, string> = {}): LlmScript {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify({ error: { message: `refused with ${status}`, type: "error" } }));
  };
}

/** Sends these bytes of a stream and breaks the connection. */
export function breaksAfter(text: string): LlmScript {
  return (response) => {
    begin(response);
    // A reset overtakes what was sent before it: what is to be read first gets a moment.
    response.write(text, () => setTimeout(() => response.destroy(), 50));
  };
}

/** Sends a text as the whole body, with a type. */
export function sends(text: string, type = "text/event-stream"): LlmScript {
  return (response) => {
    response.writeHead(200, { "content-type": type });
    response.end(text);
  };
}

function begin(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
}

const word = llmChunk("word ");

function repeats(part: string): LlmScript {
  return (response) => {
    begin(response);
    const more = (): void => {
      while (!response.destroyed && response.write(part)) {}
    };
    response.on("drain", more);
    more();
  };
}

/** What servers do wrong, each by itself. */
export const llmScripts: Readonly<Record<string, LlmScript>> = {
  "says nothing": sends("data: [DONE]\n\n"),
  "closes at once": (response) => void response.destroy(),
  "never answers": () => undefined,
  "sends headers and nothing": (response) => {
    begin(response);
    response.flushHeaders();
  },
  "falls silent in the middle": (response) => {
    begin(response);
    response.write(word);
  },
  "keeps alive and never speaks": (response) => {
    begin(response);
    const timer = setInterval(() => response.write(": keep-alive\n\n"), 20);
    response.once("close", () => clearInterval(timer));
  },
  "breaks off after a word": breaksAfter(word),
  "breaks off inside a chunk": breaksAfter(word + word.slice(0, 30)),
  "breaks off inside a character": (response) => {
    begin(response);
    response.write(Buffer.from(llmChunk("é")).subarray(0, -20), () => response.destroy());
  },
  "breaks off before a word": breaksAfter(": hello\n\n"),
  "ends without a finish": sends(word + word),
  "ends without a finish but done": sends(`${word}data: [DONE]\n\n`),
  "ends in a chunk": sends(word + word.slice(0, 25)),
  "sends broken JSON": sends("data: {broken\n\n"),
  "sends broken JSON in the middle": sends(`${word}data: {broken\n\n`),
  "sends an error in the stream": sends(`${word}data: {"error":{"message":"out of memory"}}\n\n`),
  "sends an error first": sends('data: {"error":{"message":"out of memory"}}\n\n'),
  "sends no choices": sends('data: {"choices":[]}\n\ndata: [DONE]\n\n'),
  "sends null content": sends('data: {"choices":[{"delta":{"content":null}}]}\n\ndata: [DONE]\n\n'),
  "sends numbers for content": sends('data: {"choices":[{"delta":{"content":5},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'),
  "sends null": sends("data: null\n\n"),
  "sends an empty answer": sends(`${llmChunk("", "stop")}data: [DONE]\n\n`),
  "sends HTML": sends("<html>Bad gateway</html>", "text/html"),
  "sends JSON": sends('{"choices":[{"message":{"content":"hello"}}]}', "application/json"),
  "sends nothing at all": sends(""),
  "is filtered": sends(`${word}${llmChunk(undefined, "content_filter")}data: [DONE]\n\n`),
  "calls a tool": sends(
    'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a"}]},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n',
  ),
  "never ends": repeats(word),
  "sends one endless line": repeats("x".repeat(64 * 1024)),
  "sends endless comments": repeats(`: ${"x".repeat(16 * 1024)}\n\n`),
  "sends a huge token": (response) => {
    begin(response);
    response.end(llmChunk("x".repeat(1_000_000), "stop"));
  },
  "refuses with 400": refuses(400),
  "refuses with 401": refuses(401),
  "refuses with 404": refuses(404),
  "refuses with 429": refuses(429),
  "refuses with 429 for an hour": refuses(429, { "retry-after": "3600" }),
  "refuses with 500": refuses(500),
  "refuses with 503 and a date": refuses(503, { "retry-after": "Wed, 01 Jan 2098 00:00:00 GMT" }),
  "redirects in a circle": refuses(302, { location: "/v1/chat/completions" }),
};
