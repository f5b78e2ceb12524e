import { OpenAPIHono } from "@hono/zod-openapi";
import {
  type Embedder,
  InvalidInputError,
  isMillraceError,
  limits,
  type ProjectName,
  parseProjectName,
  parseSearchRequest,
  type SearchDeps,
  search,
  type VectorStore,
} from "@millrace/core";
import type { Principal } from "@millrace/ledger";
import type { Logger } from "@millrace/runtime";
import { bodyLimit } from "hono/body-limit";
import { addDocumentRoutes, type DocumentDeps } from "./documents.ts";
import { addEmbeddingRoute } from "./embeddings.ts";
import type { QueryMetrics } from "./metrics.ts";
import { describeApi } from "./openapi.ts";
import { problemOf, problemResponse, Refusal } from "./problem.ts";
import { serialiseHits } from "./serialise-hits.ts";

export interface AppDeps extends Omit<SearchDeps, "serialise"> {
  readonly embedder: Embedder;
  readonly store: VectorStore;
  readonly keys: { verify(text: string): Promise<Principal | undefined> };
  readonly metrics: QueryMetrics;
  readonly logger: Logger;
  /** Name of a dependency → resolves when it answers. `optional` ones only degrade the service. */
  readonly probes: readonly {
    readonly name: string;
    readonly optional: boolean;
    readonly check: (signal: AbortSignal) => Promise<unknown>;
  }[];
  readonly requestTimeoutMs?: number;
  /** Answers /v1/embeddings itself, past the cache of query vectors. */
  readonly model: Parameters<typeof addEmbeddingRoute>[1];
  readonly documents: Omit<DocumentDeps, "store">;
}

type Env = { Variables: { principal: Principal; project: ProjectName } };

const probeTimeoutMs = 2_000;
const defaultProject = "default";

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

  const authenticate = async (header: string | undefined): Promise<Principal> => {
    const principal = header?.startsWith("Bearer ") === true ? await deps.keys.verify(header.slice("Bearer ".length).trim()) : undefined;
    if (principal === undefined)
      throw new Refusal(401, "key.invalid", "A valid API key is needed", "Send it as `Authorization: Bearer <key>`.");
    return principal;
  };

  app.get("/metrics", async (context) => {
    const { project } = await authenticate(context.req.header("authorization"));
    if (project !== undefined) throw new Refusal(403, "key.not_admin", "Metrics span all projects: an admin key is needed");
    return context.text(await deps.metrics.render(), 200, { "content-type": deps.metrics.contentType });
  });

  app.use("/v1/*", async (context, next) => {
    const principal = await authenticate(context.req.header("authorization"));
    context.set("principal", principal);
    context.set("project", projectOf(principal, context.req.header("x-millrace-project")));
    await next();
  });

  app.post(
    "/v1/search",
    bodyLimit({
      maxSize: limits.requestBodyBytesMax,
      onError: () => {
        throw new Refusal(
          413,
          "request.too_large",
          `The body has more than ${limits.requestBodyBytesMax} bytes`,
          `A query has at most ${limits.queryCharsMax} characters.`,
        );
      },
    }),
    async (context) => {
      const startedAt = performance.now();
      if (!context.get("principal").scopes.includes("read")) throw new Refusal(403, "key.scope", "The key may not read");
      const body: unknown = await context.req.json().catch(() => {
        throw new InvalidInputError("request.malformed", "The body is not JSON");
      });
      const request = parseSearchRequest(context.get("project"), body);
      const signal = AbortSignal.any([context.req.raw.signal, AbortSignal.timeout(deps.requestTimeoutMs ?? limits.requestTimeoutMs)]);
      const answer = await search(request, { ...deps, serialise: serialiseHits }, signal);
      const tookMs = Math.round((performance.now() - startedAt) * 1_000) / 1_000;
      // The hits are spliced in as they were cached: a hit costs neither parsing nor serialising.
      return context.body(
        Buffer.concat([
          Buffer.from('{"object":"search_results","data":'),
          answer.serialisedHits,
          Buffer.from(`,"cache":"${answer.cache}","took_ms":${tookMs}}`),
        ]),
        200,
        {
          "content-type": "application/json",
          "cache-control": "no-store",
        },
      );
    },
  );

  addEmbeddingRoute(app, deps.model);
  addDocumentRoutes(app, { ...deps.documents, store: deps.store });

  app.notFound((context) =>
    problemResponse(
      new Refusal(404, "route.unknown", `There is no ${context.req.method} ${context.req.path}`, "See /openapi.json."),
      context.req.path,
    ),
  );
  app.onError((error, context) => {
    const problem = problemOf(error);
    if (problem.status >= 500)
      deps.logger.error({ err: error, code: isMillraceError(error) ? error.code : undefined, path: context.req.path }, "request.failed");
    return problemResponse(problem, context.req.path);
  });
  return app;
}

/** A project's key works in its own project only; whether another one exists is not told. */
function projectOf(principal: Principal, header: string | undefined): ProjectName {
  if (principal.project === undefined) return parseProjectName(header ?? defaultProject);
  if (header !== undefined && header !== principal.project) {
    throw new Refusal(
      404,
      "project.unknown",
      "There is no such project for this key",
      "Leave X-Millrace-Project out: the key names its project.",
    );
  }
  return principal.project;
}
