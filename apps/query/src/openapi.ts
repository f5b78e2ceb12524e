import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { limits } from "@millrace/core";
import type { Env } from "hono";

const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    hint: z.string().optional(),
    instance: z.string(),
  })
  .openapi("Problem");

const filter = z
  .object({
    type: z.enum(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or"]),
    key: z.string().optional(),
    value: z.unknown().optional(),
    filters: z.array(z.unknown()).optional(),
  })
  .openapi("Filter", {
    description:
      "A comparison {type, key, value} or a compound {type: and|or, filters}. Keys: source, media_type, title, page, document_id, metadata.<name>.",
  });

const searchRequest = z
  .object({
    query: z.string().min(1).max(limits.queryCharsMax),
    top_k: z.int().min(1).max(limits.topKMax).default(limits.topKDefault),
    mode: z.enum(["dense"]).default("dense"),
    filter: filter.optional(),
  })
  .openapi("SearchRequest");

const searchHit = z
  .object({
    document_id: z.string(),
    source: z.string(),
    chunk_id: z.string(),
    ordinal: z.int(),
    page: z.int().nullable(),
    headings: z.array(z.string()),
    title: z.string(),
    text: z.string(),
    span: z.object({ start: z.int(), end: z.int() }).openapi({ description: "UTF-16 offsets in the parsed document." }),
    score: z.number().openapi({ description: "Cosine similarity." }),
    metadata: z.record(z.string(), z.unknown()),
  })
  .openapi("SearchHit");

const searchResults = z
  .object({ object: z.literal("search_results"), data: z.array(searchHit), cache: z.enum(["hit", "miss"]), took_ms: z.number() })
  .openapi("SearchResults");

/** Registers the description of every route and serves it at /openapi.json. */
export function describeApi<E extends Env>(app: OpenAPIHono<E>): void {
  const { openAPIRegistry: registry } = app;
  registry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  const problemOf = (description: string) => ({ description, content: { "application/problem+json": { schema: problem } } });
  registry.registerPath({
    method: "post",
    path: "/v1/search",
    summary: "The chunks nearest to a query",
    security: [{ key: [] }],
    request: {
      headers: z.object({
        "X-Millrace-Project": z.string().optional().openapi({ description: "For admin keys; a project's key names its project." }),
      }),
      body: { required: true, content: { "application/json": { schema: searchRequest } } },
    },
    responses: {
      200: { description: "Hits, nearest first", content: { "application/json": { schema: searchResults } } },
      400: problemOf("The request is wrong"),
      401: problemOf("No valid key"),
      403: problemOf("The key may not read"),
      404: problemOf("No such project for this key"),
      413: problemOf("The body is too large"),
      503: problemOf("A dependency is away; never an empty answer"),
    },
  });
  const plain = (path: string, summary: string, responses: Record<number, string>) =>
    registry.registerPath({
      method: "get",
      path,
      summary,
      responses: Object.fromEntries(Object.entries(responses).map(([status, description]) => [status, { description }])),
    });
  plain("/healthz", "Whether the process runs", { 200: "It runs" });
  plain("/readyz", "Whether its dependencies answer", { 200: "Ready, or degraded without its cache", 503: "Not ready" });
  plain("/metrics", "Prometheus metrics, for admin keys", { 200: "Text format" });
  app.doc31("/openapi.json", { openapi: "3.1.0", info: { title: "Millrace query service", version: "1" } });
}
