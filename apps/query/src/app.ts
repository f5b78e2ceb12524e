import { OpenAPIHono } from "@hono/zod-openapi";
import { type LanguageModel, limits, type VectorStore } from "@millrace/core";
import type { PriceConfig } from "@millrace/runtime";
import { Answering, type AnsweringDeps } from "./ask/answering.ts";
import { addAskRoutes } from "./ask/ask-routes.ts";
import { addSessionRoutes } from "./ask/session-routes.ts";
import { authenticate, type Env, projectOf } from "./authenticate.ts";
import { addChatRoutes } from "./chat/chat-routes.ts";
import { openAiReplyTo, speaksOpenAi } from "./chat/openai-error.ts";
import { addDocumentRoutes, type DocumentDeps } from "./documents.ts";
import { addEmbeddingRoute } from "./embeddings.ts";
import { addMcpRoute } from "./mcp/mcp-route.ts";
import type { QueryMetrics } from "./metrics.ts";
import { describeApi } from "./openapi.ts";
import { problemResponse, Refusal, replyTo } from "./problem.ts";
import type { Quotas } from "./quota/quotas.ts";
import { limitBody } from "./request-body.ts";
import { answerSearch, largeBodyHint, type SearchEndpointDeps, searchPath } from "./search-endpoint.ts";
import type { SpanExporter } from "./tracing/question-trace.ts";
import type { UsageCounters } from "./usage/usage-counters.ts";
import { addUsageRoute } from "./usage/usage-routes.ts";

export interface AppDeps extends SearchEndpointDeps {
  readonly store: VectorStore;
  readonly metrics: QueryMetrics;
  /** Name of a dependency → resolves when it answers. `optional` ones only degrade the service. */
  readonly probes: readonly {
    readonly name: string;
    readonly optional: boolean;
    readonly check: (signal: AbortSignal) => Promise<unknown>;
  }[];
  /** Answers /v1/embeddings itself, past the cache of query vectors. */
  readonly model: Parameters<typeof addEmbeddingRoute>[1] & AnsweringDeps["model"];
  readonly documents: Omit<DocumentDeps, "store">;
  readonly quotas: Quotas;
  readonly usage: UsageCounters;
  readonly price: PriceConfig | undefined;
  /** Undefined: questions are answered with sentences of the sources. */
  readonly languageModel?: LanguageModel;
  readonly questions: AnsweringDeps["questions"];
  readonly similarityMin?: number;
  readonly spans?: SpanExporter;
  readonly sessions: AnsweringDeps["sessions"];
}

const probeTimeoutMs = 2_000;

/** The HTTP service without its sockets: a function of requests, so that tests need no port. */
export function createApp(deps: AppDeps): OpenAPIHono<Env> {
  const app = new OpenAPIHono<Env>();
  describeApi(app);

  app.use(async (context, next) => {
    const end = deps.metrics.startRequest();
    await next();
    end(context.req.routePath, context.res.status);
  });

  app.get("/healthz", (context) => context.json({ status: "ok" }));

  app.get("/readyz", async (context) => {
    const results = await Promise.all(
      deps.probes.map(async ({ name, optional, check }) => {
        const problem = await check(AbortSignal.timeout(probeTimeoutMs)).then(
          () => undefined,
          (error: unknown) => (error instanceof Error ? error.message : String(error)),
        );
        return { name, optional, ok: problem === undefined, ...(problem === undefined ? {} : { problem }) };
      }),
    );
    const ready = results.every((result) => result.ok || result.optional);
    return context.json(
      { status: ready ? (results.every((result) => result.ok) ? "ready" : "degraded") : "not ready", dependencies: results },
      ready ? 200 : 503,
    );
  });

  app.get("/metrics", async (context) => {
    const { project } = await authenticate(deps.keys, context.req.header("authorization"));
    if (project !== undefined) throw new Refusal(403, "key.not_admin", "Metrics span all projects: an admin key is needed");
    return context.text(await deps.metrics.render(), 200, { "content-type": deps.metrics.contentType });
  });

  app.on(["ALL"], ["/v1/*", "/mcp"], async (context, next) => {
    const principal = await authenticate(deps.keys, context.req.header("authorization"));
    context.set("principal", principal);
    context.set("project", projectOf(principal, context.req.header("x-millrace-project")));
    await next();
  });

  app.post(searchPath, limitBody(limits.requestBodyBytesMax, largeBodyHint), async (context) => {
    const body = await context.req.text();
    const call = { authorization: context.req.header("authorization"), project: context.req.header("x-millrace-project"), body };
    const { headers, parts } = await answerSearch(call, deps, () => context.req.raw.signal);
    const [start, hits, end] = parts;
    return context.body(Buffer.concat([Buffer.from(start), hits, Buffer.from(end)]), 200, headers);
  });

  const answering = new Answering(deps);
  addAskRoutes(app, answering);
  addChatRoutes(app, answering);
  addMcpRoute(app, { ...deps, ledger: deps.documents.ledger, answering });
  addUsageRoute(app, deps.usage, deps.price);
  addSessionRoutes(app, deps);
  addEmbeddingRoute(app, deps.model);
  addDocumentRoutes(app, { ...deps.documents, store: deps.store });

  app.notFound((context) =>
    problemResponse(
      new Refusal(404, "route.unknown", `There is no ${context.req.method} ${context.req.path}`, "See /openapi.json."),
      context.req.path,
    ),
  );
  app.onError((error, { req: { path } }) => (speaksOpenAi(path) ? openAiReplyTo : replyTo)(error, path, deps.logger));
  return app;
}
