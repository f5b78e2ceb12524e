import { parseProjectName } from "@millrace/core";
import { connectRedis, createLogger } from "@millrace/runtime";
import { type FaultProxy, llmScripts, type ScriptedLlm, says, startFaultProxy, startRedis, startScriptedLlm } from "@millrace/testing";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { ServedLanguageModel } from "../src/llm/language-model.ts";
import { dayOf, UsageCounters } from "../src/usage/usage-counters.ts";
import { startService, type TestService } from "./service.ts";

/** What was used, counted in memory, written in batches, told over HTTP. */
const logger = createLogger("test", "silent");
const project = parseProjectName("used");

describe("the counters", () => {
  it("add up over processes and days, and end with their retention", async () => {
    const redis = await startRedis();
    const connection = connectRedis(redis.url, "service", () => undefined);
    let now = Date.parse("2026-11-25T23:59:59Z");
    const counters = [1, 2].map(() => new UsageCounters({ redis: connection, retentionDays: 3, logger }, () => now));
    for (const each of counters) each.add(project, { questions: 1, prompt_tokens: 100 });
    now += 2_000;
    for (const each of counters) each.add(project, { searches: 2 });
    await Promise.all(counters.map((each) => each.close()));
    expect(await counters[0]?.read(project, ["2026-11-24", "2026-11-25", "2026-11-26"])).toMatchObject([
      { day: "2026-11-25", amounts: { questions: 2, prompt_tokens: 200, searches: 0 } },
      { day: "2026-11-26", amounts: { questions: 0, searches: 4 } },
    ]);
    expect(await connection.ttl(`millrace:{${project}}:usage:2026-11-25`)).toBeGreaterThan(3 * 86_400 - 60);
    connection.disconnect();
    await redis.stop();
  });

  it("count a batch once whose reply was lost, and keep what cannot be written", async () => {
    const redis = await startRedis();
    const proxy: FaultProxy = await startFaultProxy(redis.port);
    const direct = connectRedis(redis.url, "service", () => undefined);
    const connection = connectRedis(`redis://127.0.0.1:${proxy.port}`, "service", () => undefined);
    await connection.ping();
    const counters = new UsageCounters({ redis: connection, retentionDays: 3, logger });
    counters.add(project, { questions: 1 });
    proxy.mode = "swallow-replies";
    await counters.flush();
    const written = async (): Promise<string | null> => direct.hget(`millrace:{${project}}:usage:${dayOf(Date.now())}`, "questions");
    counters.add(project, { questions: 1 });
    expect(await written()).toBe("1");
    proxy.mode = "pass";
    proxy.reset();
    await expect
      .poll(
        async () => {
          await counters.flush();
          return written();
        },
        { timeout: 10_000 },
      )
      .toBe("2");
    await counters.flush();
    expect(await written()).toBe("2");
    connection.disconnect();
    direct.disconnect();
    await proxy.close();
    await redis.stop();
  });
});

describe("over HTTP", () => {
  let llm: ScriptedLlm;
  let model: ServedLanguageModel;
  let service: TestService;
  const question = "how do bees tell where flowers are";

  beforeAll(async () => {
    llm = await startScriptedLlm();
    model = new ServedLanguageModel({
      ...{ baseUrl: llm.baseUrl, apiKey: undefined, models: ["served"], contextTokensMax: 2_048, answerTokensMax: 256 },
      ...{ connectTimeoutMs: 500, firstTokenTimeoutMs: 300, totalTimeoutMs: 5_000, logger },
    });
    service = await startService({ languageModel: model, price: { promptPerMillion: 10, completionPerMillion: 100 } });
  });
  afterAll(async () => {
    await service.close();
    await model.close();
    await llm.close();
  });

  const call = async (path: string, key: string, body?: unknown, headers: Record<string, string> = {}) => {
    const post = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await fetch(`${service.url}${path}`, { ...post, headers: { authorization: `Bearer ${key}`, ...headers } });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> & { data: Record<string, unknown>[] } };
  };

  test("a project's key sees its project, an admin's all or one", async () => {
    const [one, other, admin] = [await service.newKey("one"), await service.newKey("other"), await service.newKey()];
    for (const name of ["one", "other"]) await service.put(name, "bees.md", "Honey bees dance to tell each other where the flowers are.");
    llm.play(says("They dance [1]."));
    await call("/v1/ask", one, { question });
    await call("/v1/ask", one, { question });
    // A call that breaks off is no answer of the model, and costs all the same.
    llm.play(llmScripts["falls silent in the middle"] ?? says(""));
    await call("/v1/ask", one, { question: `${question} now` });
    await call("/v1/search", one, { query: question });
    await call("/v1/search", one, { query: question });
    await call("/v1/search", other, { query: question });
    await service.usage.flush();

    const day = dayOf(Date.now());
    const { body } = await call("/v1/usage", one);
    expect(body).toMatchObject({
      object: "usage",
      to: day,
      data: [{ project: "one", day, questions: 3, generated: 1, extractive: 1, cached: 1, searches: 2, searches_cached: 1 }],
    });
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens, cost } = body.data[0] as Record<string, number>;
    expect(promptTokens).toBeGreaterThan(100 + 100);
    expect(completionTokens).toBeGreaterThan(10);
    expect(cost).toBeCloseTo(((promptTokens ?? 0) * 10 + (completionTokens ?? 0) * 100) / 1e6);
    expect(body["total"]).toMatchObject({ questions: 3, saved_cost: (100 * 10 + 10 * 100) / 1e6, cached_share: expect.closeTo(1 / 3) });

    expect((await call("/v1/usage", other)).body.data).toMatchObject([{ project: "other", questions: 0, searches: 1 }]);
    expect((await call("/v1/usage", other, undefined, { "x-millrace-project": "one" })).status).toBe(404);
    expect((await call("/v1/usage", admin)).body.data.map((each) => each["project"])).toEqual(["one", "other"]);
    expect((await call("/v1/usage", admin, undefined, { "x-millrace-project": "other" })).body.data).toHaveLength(1);
    expect((await call("/v1/usage?from=2020-01-01&to=2020-01-31", admin)).body.data).toEqual([]);
    expect((await call("/v1/usage", await service.newKey("one", ["ingest"]).then((key) => key))).status).toBe(403);
    for (const query of ["from=yesterday", "from=2026-02-30", "from=2026-02-02&to=2026-02-01", "from=2001-01-01"]) {
      expect((await call(`/v1/usage?${query}`, one)).status).toBe(400);
    }
  });
});
