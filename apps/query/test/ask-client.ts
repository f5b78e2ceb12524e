import { createLogger } from "@millrace/runtime";
import type { ScriptedLlm } from "@millrace/testing";
import { ServedLanguageModel } from "../src/llm/language-model.ts";
import type { TestService } from "./service.ts";

export type Json = Record<string, unknown>;

export interface Event {
  readonly event: string;
  readonly data: Json;
}

/** A client of one key. */
export class AskClient {
  readonly url: string;
  readonly #key: string;

  constructor({ url }: TestService, key: string) {
    this.url = url;
    this.#key = key;
  }

  async call(method: string, path: string, body?: Json, signal?: AbortSignal): Promise<{ status: number; body: Json }> {
    const response = await this.send(method, path, body, signal);
    return { status: response.status, body: (await response.json()) as Json };
  }

  send(method: string, path: string, body?: Json, signal?: AbortSignal): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#key}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async ask(question: string, more: Json = {}): Promise<Json> {
    return (await this.call("POST", "/v1/ask", { question, trace: true, ...more })).body;
  }

  async stream(question: string, more: Json = {}): Promise<Event[]> {
    const text = await (await this.send("POST", "/v1/ask", { question, stream: true, ...more })).text();
    const field = (block: string, name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? "";
    const blocks = text.split("\n\n").filter((block) => block.startsWith("event:"));
    return blocks.map((block) => ({ event: field(block, "event"), data: JSON.parse(field(block, "data")) as Json }));
  }
}

export const spoken = (events: readonly Event[]): string =>
  events.map(({ event, data }) => (event === "delta" ? String(data["text"]) : "")).join("");

/** The product's own client of the scripted server; a patient one. */
export function servedModel(llm: ScriptedLlm, models: readonly string[] = ["first"]): ServedLanguageModel {
  return new ServedLanguageModel({
    ...{ baseUrl: llm.baseUrl, apiKey: "secret", models, contextTokensMax: 8_192, answerTokensMax: 256 },
    ...{ connectTimeoutMs: 500, firstTokenTimeoutMs: 10_000, totalTimeoutMs: 10_000, logger: createLogger("test", "silent") },
  });
}
