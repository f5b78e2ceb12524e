import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@millrace/runtime";
import { llmChunk, llmScripts, type ScriptedLlm, says, startScriptedLlm } from "@millrace/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Admission } from "../src/admission.ts";
import type { AppDeps } from "../src/app.ts";
import { ServedLanguageModel } from "../src/llm/language-model.ts";
import { startService, type TestService } from "./service.ts";

/** Clients that leave, in every phase of an answer: whatever is at work for them is told within a second. */
// On a machine that does nothing else all of them are held to the second; beside other tests, to a multiple.
const patienceMs = process.env["MILLRACE_CHAOS"] === "full" ? 1_000 : 3_000;
const question = "how do bees tell where flowers are";
let llm: ScriptedLlm;
let service: TestService | undefined;
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  llm = await startScriptedLlm();
});
afterEach(async () => {
  await service?.close();
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => llm.close());

/** What is at work for the client. */
interface Work {
  /** Throws until it has begun, and again until it has ended. */
  begun(): unknown;
  ended(): unknown;
}

/** Work that goes on until it is told to stop. */
class Endless implements Work {
  #signals: AbortSignal[] = [];

  readonly until = <T>(signal: AbortSignal): Promise<T> => {
    this.#signals.push(signal);
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
  };

  begun(): void {
    expect(this.#signals.length).toBeGreaterThan(0);
  }

  ended(): void {
    expect(this.#signals.map(({ aborted }) => aborted)).not.toContain(false);
  }
}

function served(baseUrl = llm.baseUrl): ServedLanguageModel {
  const model = new ServedLanguageModel({
    ...{ baseUrl, apiKey: undefined, models: ["m"], contextTokensMax: 8_192, answerTokensMax: 256 },
    ...{ connectTimeoutMs: 20_000, firstTokenTimeoutMs: 20_000, totalTimeoutMs: 20_000, logger: createLogger("test", "silent") },
  });
  closers.push(() => model.close());
  return model;
}

const atTheModel: Work = { begun: () => expect(llm.open).toBe(1), ended: () => expect(llm.open).toBe(0) };
const isBusyWith = (name: string) => async (): Promise<Setting> => {
  const script = llmScripts[name];
  if (script !== undefined) llm.play(script);
  return { work: atTheModel, languageModel: served() };
};

interface Setting {
  readonly work: Work;
  readonly languageModel?: ServedLanguageModel;
  readonly replace?: (parts: AppDeps) => Partial<AppDeps>;
  readonly body?: Readonly<Record<string, unknown>>;
}

/** A server whose kernel takes no connection: its queue is full, and it sleeps. */
async function deafServer(): Promise<{ baseUrl: string; close: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-deaf-"));
  const script = join(folder, "deaf.mjs");
  await writeFile(
    script,
    'import net from "node:net"; const s = net.createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => process.send(s.address().port));',
  );
  const child: ChildProcess = fork(script);
  const [port] = (await once(child, "message")) as [number];
  child.kill("SIGSTOP");
  const fillers: Socket[] = Array.from({ length: 8 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    async close() {
      for (const each of fillers) each.destroy();
      child.kill("SIGKILL");
      await once(child, "exit");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const phases: Readonly<Record<string, () => Promise<Setting>>> = {
  "it waits to be let in": async () => {
    const admission = new Admission({ runningMax: 1, waitingMax: 8, waitingPerProjectMax: 8 });
    const stop = new AbortController();
    const other = admission.run("other", () => new Endless().until(stop.signal), stop.signal).catch(() => undefined);
    closers.push(async () => {
      stop.abort();
      await other;
    });
    const work = { begun: () => expect(admission.waiting).toBe(1), ended: () => expect(admission.waiting).toBe(0) };
    return { work, replace: () => ({ admission }) };
  },
  "its question is embedded": async () => {
    const work = new Endless();
    const replace = ({ embedder }: AppDeps) => ({
      embedder: { space: embedder.space, embed: (_: readonly string[], own: AbortSignal) => work.until<Float32Array[]>(own) },
    });
    return { work, replace };
  },
  "sources are searched for": async () => {
    const work = new Endless();
    const store = { search: (_: unknown, own: AbortSignal) => work.until(own), searchKeywords: async () => [] };
    return { work, replace: () => ({ store: store as unknown as AppDeps["store"] }) };
  },
  "they are reranked": async () => {
    const work = new Endless();
    const score = (_: string, __: readonly string[], own: AbortSignal): Promise<number[]> => work.until(own);
    return { work, replace: () => ({ reranker: { fingerprint: "r", score } }), body: { rerank: true } };
  },
  "sentences are chosen, without a model": async () => {
    const work = new Endless();
    const replace = ({ model }: AppDeps) => ({
      model: { ...model, embed: (_: readonly string[], own: AbortSignal) => work.until<Float32Array[]>(own) },
    });
    return { work, replace: replace as (parts: AppDeps) => Partial<AppDeps> };
  },
  "a follow-up is rewritten": async () => {
    const setting = await isBusyWith("never answers")();
    return { ...setting, body: { session_id: "s" } };
  },
  "the model's server is connected to": async () => {
    const deaf = await deafServer();
    closers.push(deaf.close);
    const steps: string[] = [];
    const work = {
      begun: () => expect(steps.at(-1)).toBe("retrieve"),
      ended: () => expect(steps.at(-1)).toBe("generate"),
    };
    const replace = ({ metrics }: AppDeps) => ({ metrics: { ...metrics, observeStep: (step: string) => void steps.push(step) } });
    return { work, replace, languageModel: served(deaf.baseUrl) };
  },
  "the model has the question and says nothing": isBusyWith("never answers"),
  "the model has begun, and is silent": isBusyWith("falls silent in the middle"),
  "words come": isBusyWith("never ends"),
  "a citation is half there": async () => {
    llm.play((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(llmChunk("They dance [1"));
    });
    return { work: atTheModel, languageModel: served() };
  },
};

/** Sends a question; what it returns leaves. */
function ask(url: string, key: string, body: unknown): () => void {
  const call = httpRequest(`${url}/v1/ask`, { method: "POST", headers: { authorization: `Bearer ${key}` } });
  call.on("error", () => undefined);
  call.on("response", (response) => response.on("error", () => undefined).resume());
  call.end(JSON.stringify(body));
  return () => void call.destroy();
}

describe.each([true, false])("a client that reads along (%s) leaves", (stream) => {
  it.each(Object.keys(phases))("while %s", async (name) => {
    const setting = phases[name];
    if (setting === undefined) throw new Error(`There is no phase "${name}"`);
    const { work, languageModel, replace, body = {} } = await setting();
    service = await startService({
      ...(languageModel === undefined ? {} : { languageModel }),
      ...(replace === undefined ? {} : { replace }),
    });
    await service.put("hive", "bees.md", "Honey bees dance to tell each other where the flowers are.");
    const key = await service.newKey("hive");
    if ("session_id" in body) {
      const keyId = key.split("_")[1];
      const turn = { question: "q", standalone: "q", answer: "a", documentIds: [], at: 0, tokens: 3 };
      await service.queueRedis.rpush(`millrace:{hive}:session:${keyId}:${body["session_id"]}`, JSON.stringify(turn));
    }
    const leave = ask(service.url, key, { question, stream, ...body });
    await vi.waitFor(() => work.begun(), { timeout: 20_000, interval: 5 });
    leave();
    await vi.waitFor(() => work.ended(), { timeout: patienceMs, interval: 5 });
    // And whoever comes next is served.
    if (languageModel === undefined || name.includes("connected")) return;
    llm.play(says("They dance [1]."));
    const reply = await fetch(`${service.url}/v1/ask`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ question }),
    });
    expect(await reply.json()).toMatchObject({ answer: "They dance [1]." });
  });
});
