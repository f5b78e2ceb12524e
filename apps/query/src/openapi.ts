import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { fusions, limits, mediaTypes, rerankedScale, scoreScales, searchModes } from "@millrace/core";
import { documentStates } from "@millrace/ledger";
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

const metadata = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]));

const filter = z
  .object({
    type: z.enum(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or"]),
    key: z.string().optional(),
    value: z.unknown().optional(),
    filters: z.array(z.unknown()).optional(),
  })
  .openapi("Filter", {
    description:
      "A comparison {type, key, value} or a compound {type: and|or, filters}. Keys: source, source_prefix, media_type, title, page, document_id, ingested_at, metadata.<name>.",
  });

const scoreScale = `By mode. ${searchModes.map((mode) => `${mode}: ${scoreScales[mode].of}`).join("; ")}.`;

export const searchRequest = z
  .strictObject({
    query: z.string().min(1).max(limits.queryCharsMax),
    top_k: z.int().min(1).max(limits.topKMax).default(limits.topKDefault),
    mode: z
      .enum(searchModes)
      .default("hybrid")
      .openapi({ description: "dense: by meaning; keyword: by words (BM25); hybrid: both, fused." }),
    weights: z
      .object({ dense: z.number().min(0).max(1), keyword: z.number().min(0).max(1) })
      .optional()
      .openapi({ description: "How much each list counts in a hybrid search." }),
    fusion: z.enum(fusions).default("scores").openapi({
      description: "How a hybrid search makes one list of two. scores: by how far a hit stands out in each; ranks: by reciprocal rank.",
    }),
    filter: filter.optional(),
    min_score: z
      .number()
      .optional()
      .openapi({
        description: `Hits below it are left out. ${scoreScale} Fused ranks say where a hit stood, not how well it fits: to cut off by relevance, use dense.`,
      }),
    group_by: z.literal("document").optional().openapi({ description: "The best hit of each document; top_k then counts documents." }),
    group_size: z.int().min(1).max(limits.groupSizeMax).optional().openapi({
      description:
        "With group_by: hits of each document at most, as far as they are among the best of all; 1 without it. They stand together.",
    }),
    diversity: z.number().min(0).max(1).default(0).openapi({
      description:
        "Maximal marginal relevance: how much hits are to differ from those before them. Their order is then not that of the scores.",
    }),
    rerank: z
      .boolean()
      .default(false)
      .openapi({
        description: `The best hits are put in order by the reranker of the service, where it has one; scores are then ${rerankedScale.of}. top_k times group_size is ${limits.rerankTopKMax} at most.`,
      }),
    expand: z
      .union([z.literal("section"), z.int().min(0).max(limits.neighboursMax)])
      .default(0)
      .openapi({
        description: `What stands around each hit, in \`context\`: so many chunks before and after it, or its section, ${limits.sectionChunksMax} chunks before and after it at most.`,
      }),
    highlight: z.boolean().default(false).openapi({ description: "Tell in `highlights` what of each text matches words of the query." }),
  })
  .openapi("SearchRequest");

const span = z.object({ start: z.int(), end: z.int() });

const standing = z.object({ rank: z.int().min(1), score: z.number() }).openapi("Standing");

const searchHit = z
  .object({
    document_id: z.string(),
    source: z.string(),
    chunk_id: z.string(),
    ordinal: z.int(),
    page: z.int().nullable(),
    headings: z.array(z.string()),
    title: z.string(),
    ingested_at: z.string(),
    text: z.string(),
    span: span.openapi({ description: "UTF-16 offsets in the parsed document." }),
    score: z.number().openapi({ description: scoreScale }),
    standings: z.object({ dense: standing.nullable(), keyword: standing.nullable(), retrieved: standing.optional() }).openapi({
      description: "Where the hit stood in each list before they were fused; null: not in it. `retrieved`: before it was reranked.",
    }),
    metadata,
    highlights: z.array(span).optional().openapi({ description: "UTF-16 offsets in `text`, in order, without overlaps." }),
    context: z
      .object({
        text: z.string(),
        span: span.openapi({ description: "UTF-16 offsets in the parsed document; the hit begins at the difference of both starts." }),
        first_ordinal: z.int(),
        last_ordinal: z.int(),
        cut: z.boolean().openapi({ description: "The section goes on beyond this." }),
      })
      .optional(),
  })
  .openapi("SearchHit");

export const searchResults = z
  .object({ object: z.literal("search_results"), data: z.array(searchHit), cache: z.enum(["hit", "stale", "miss"]), took_ms: z.number() })
  .openapi("SearchResults");

export const embeddingRequest = z
  .object({
    input: z.union([z.string(), z.array(z.string()).min(1).max(limits.embeddingsTextsMax)]),
    model: z.string().optional(),
    encoding_format: z.enum(["float", "base64"]).default("float"),
    dimensions: z.int().optional(),
    input_type: z.enum(["document", "query"]).default("document").openapi({ description: "For models with another prefix for queries." }),
  })
  .openapi("EmbeddingRequest");

export const embeddingList = z
  .object({
    object: z.literal("list"),
    data: z.array(
      z.object({
        object: z.literal("embedding"),
        index: z.int(),
        embedding: z.union([z.array(z.number()), z.string().openapi({ description: "32-bit floats, little-endian, base64." })]),
      }),
    ),
    model: z.string(),
    usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
  })
  .openapi("EmbeddingList");

/** As draft-ietf-httpapi-ratelimit-headers has them. */
const quotaHeaders = z.object({
  "RateLimit-Policy": z.string().openapi({ description: 'The quotas that count: `"key-requests";q=6000;w=60, …`' }),
  RateLimit: z.string().openapi({ description: 'What is left of each, and the seconds until more is: `"key-requests";r=5999;t=60, …`' }),
});

export const askRequest = searchRequest
  .omit({ query: true, top_k: true, expand: true, highlight: true })
  .extend({
    question: z.string().min(1).max(limits.queryCharsMax),
    top_k: z.int().min(1).max(limits.topKMax).default(limits.askTopKDefault),
    stream: z.boolean().default(false).openapi({ description: "Server-sent events: sources, delta, citation, then done or error." }),
    session_id: z.string().max(64).optional().openapi({
      description: "The conversation that it belongs to, by a name of your choice; it is remembered for this key alone.",
    }),
    trace: z.boolean().default(false).openapi({ description: "Tell how long each step took, in `timings_ms`." }),
  })
  .openapi("AskRequest");

const citation = z
  .object({
    n: z.int(),
    document_id: z.string(),
    source: z.string(),
    page: z.int().nullable(),
    chunk_id: z.string(),
    quote: z.string().openapi({ description: "Verbatim from the chunk." }),
  })
  .openapi("Citation");

export const answer = z
  .object({
    object: z.literal("answer"),
    answer: z.string(),
    citations: z.array(citation),
    mode: z.enum(["generated", "extractive"]),
    reason: z.enum(["llm_unset", "llm_unavailable", "nothing_found"]).nullable().openapi({ description: "Why it is extractive." }),
    truncated: z.boolean(),
    model: z.string().nullable(),
    usage: z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() }),
    session_id: z.string().nullable(),
    standalone_question: z
      .string()
      .nullable()
      .openapi({ description: "What was searched for, where a conversation made another question of it." }),
    cache: z.enum(["hit", "semantic", "miss"]).openapi({
      description:
        "hit: the answer to the same question from the same sources; semantic: to one in other words; `usage` is what this request took.",
    }),
    took_ms: z.number(),
    timings_ms: z.record(z.string(), z.number()).optional(),
  })
  .openapi("Answer");

const chatRequest = z
  .object({
    model: z.string().optional().openapi({ description: "Echoed; the service answers with its own." }),
    messages: z
      .array(
        z.object({
          role: z.enum(["system", "developer", "user", "assistant"]),
          content: z.union([z.string(), z.array(z.object({ type: z.literal("text"), text: z.string() }))]),
        }),
      )
      .min(1)
      .max(limits.chatMessagesMax)
      .openapi({ description: "The last of the user is the question, those before it are the conversation." }),
    stream: z.boolean().default(false),
    stream_options: z.object({ include_usage: z.boolean() }).optional(),
    max_completion_tokens: z.int().min(1).optional(),
    millrace: searchRequest.omit({ query: true }).partial().optional(),
  })
  .openapi("ChatRequest");

const chatCompletion = z
  .object({
    id: z.string(),
    object: z.literal("chat.completion"),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({ role: z.literal("assistant"), content: z.string() }),
        finish_reason: z.enum(["stop", "length"]),
      }),
    ),
    usage: answer.shape.usage,
    millrace: answer.pick({
      ...{ citations: true, mode: true, reason: true, model: true, standalone_question: true, cache: true, took_ms: true },
    }),
  })
  .openapi("ChatCompletion");

const openAiError = z
  .object({ error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string() }) })
  .openapi("OpenAiError");

const usageAmounts = z.object({
  questions: z.int(),
  generated: z.int(),
  extractive: z.int(),
  cached: z.int(),
  cached_share: z.number(),
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  saved_prompt_tokens: z.int().openapi({ description: "What answers from the cache had cost when they were made." }),
  saved_completion_tokens: z.int(),
  cost: z.number().nullable().openapi({ description: "By today's prices; null where none are configured." }),
  saved_cost: z.number().nullable(),
  searches: z.int(),
  searches_cached: z.int(),
});

export const usage = z
  .object({
    object: z.literal("usage"),
    from: z.iso.date(),
    to: z.iso.date(),
    data: z.array(usageAmounts.extend({ object: z.literal("usage.day"), project: z.string(), day: z.iso.date() })),
    total: usageAmounts,
  })
  .openapi("Usage");

const documentState = z.enum(documentStates);

export const document = z
  .object({
    object: z.literal("document"),
    document_id: z.string(),
    source: z.string(),
    state: documentState,
    media_type: z.string().nullable(),
    bytes: z.int(),
    chunks: z.int(),
    tokens: z.int(),
    title: z.string(),
    metadata,
    content_hash: z.string().openapi({ description: "sha256 of its bytes." }),
    live_generation: z.string().nullable(),
    pending_generation: z.string().nullable(),
    progress: z.object({ chunks: z.int(), done: z.int() }).nullable(),
    attempts: z.int(),
    error: z.object({ code: z.string(), message: z.string(), stage: z.string(), retryable: z.boolean() }).nullable(),
    retry_at: z.string().nullable(),
    created_at: z.string(),
    updated_at: z.string(),
    live_at: z.string().nullable(),
    timings_ms: z.record(z.string(), z.number()).openapi({ description: "Of each stage of the version that went live last." }),
  })
  .openapi("Document");

export const acceptedDocument = document.extend({
  outcome: z.string(),
  ingest_id: z.string(),
  status_url: z.string(),
  events_url: z.string(),
});

export const chunk = z
  .object({
    object: z.literal("chunk"),
    chunk_id: z.string(),
    ordinal: z.int(),
    text: z.string(),
    span: z.object({ start: z.int(), end: z.int() }),
    page: z.int().nullable(),
    headings: z.array(z.string()),
    tokens: z.int(),
  })
  .openapi("Chunk");

export const upload = z
  .object({
    text: z.string(),
    source: z
      .string()
      .max(limits.sourceBytesMax)
      .optional()
      .openapi({ description: "The stable name; the same source again is an update." }),
    media_type: z
      .string()
      .optional()
      .openapi({ description: `Where the source has no extension that is known: ${mediaTypes.join(", ")}, or an alias of one.` }),
    metadata: metadata.optional(),
    ingest_id: z.string().optional().openapi({ description: "Documents with the same one share an event stream." }),
  })
  .openapi("Upload");

/** Registers the description of every route and serves it at /openapi.json. */
export function describeApi<E extends Env>(app: OpenAPIHono<E>): void {
  const { openAPIRegistry: registry } = app;
  registry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  const problemOf = (description: string) => ({ description, content: { "application/problem+json": { schema: problem } } });
  registry.registerPath({
    method: "post",
    path: "/v1/search",
    summary: "The chunks that answer a query best",
    security: [{ key: [] }],
    request: {
      headers: z.object({
        "X-Millrace-Project": z.string().optional().openapi({ description: "For admin keys; a project's key names its project." }),
      }),
      body: { required: true, content: { "application/json": { schema: searchRequest } } },
    },
    responses: {
      200: { description: "Hits, best first", content: { "application/json": { schema: searchResults } } },
      400: problemOf("The request is wrong"),
      401: problemOf("No valid key"),
      403: problemOf("The key may not read"),
      404: problemOf("No such project for this key"),
      413: problemOf("The body is too large"),
      429: problemOf("Too many searches of this project are waiting, or a quota is used up; `Retry-After` says when to come back"),
      503: problemOf("A dependency is away, or too many searches are waiting; never an empty answer"),
    },
  });
  registry.registerPath({
    method: "post",
    path: "/v1/ask",
    summary: "A question answered with sources",
    security: [{ key: [] }],
    request: { body: { required: true, content: { "application/json": { schema: askRequest } } } },
    responses: {
      200: {
        description: "The answer, whole or as it comes",
        headers: quotaHeaders,
        content: { "application/json": { schema: answer }, "text/event-stream": { schema: z.string() } },
      },
      400: problemOf("The request is wrong"),
      401: problemOf("No valid key"),
      403: problemOf("The key may not read"),
      404: problemOf("No such project for this key"),
      413: problemOf("The body is too large"),
      429: problemOf(
        "A quota is used up, or too much of this project is waiting: `RateLimit` tells the state of quotas, `Retry-After` when to come back",
      ),
      503: problemOf("A dependency is away; a language model that is only makes the answer extractive"),
    },
  });
  const openAiErrorOf = (description: string) => ({ description, content: { "application/json": { schema: openAiError } } });
  registry.registerPath({
    method: "post",
    path: "/v1/chat/completions",
    summary: "A question answered with sources, in OpenAI's form",
    security: [{ key: [] }],
    request: { body: { required: true, content: { "application/json": { schema: chatRequest } } } },
    responses: {
      200: {
        description: "The answer, whole or in chunks; `data: [DONE]` ends them",
        headers: quotaHeaders,
        content: { "application/json": { schema: chatCompletion }, "text/event-stream": { schema: z.string() } },
      },
      400: openAiErrorOf("The request is wrong, or asks for something else than text"),
      401: openAiErrorOf("No valid key"),
      403: openAiErrorOf("The key may not read"),
      413: openAiErrorOf("The body is too large"),
      429: openAiErrorOf("A quota is used up"),
      503: openAiErrorOf("A dependency is away"),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/models",
    summary: "The models that a chat may name: any will do",
    security: [{ key: [] }],
    responses: {
      200: {
        description: "A list",
        content: { "application/json": { schema: z.object({ object: z.literal("list"), data: z.array(z.object({ id: z.string() })) }) } },
      },
      401: openAiErrorOf("No valid key"),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/models/{id}",
    summary: "One of them",
    security: [{ key: [] }],
    request: { params: z.object({ id: z.string() }) },
    responses: {
      200: { description: "It", content: { "application/json": { schema: z.object({ id: z.string() }) } } },
      401: openAiErrorOf("No valid key"),
      404: openAiErrorOf("No such model"),
    },
  });
  registry.registerPath({
    method: "post",
    path: "/v1/embeddings",
    summary: "Vectors of texts by the configured model, in OpenAI's form",
    security: [{ key: [] }],
    request: { body: { required: true, content: { "application/json": { schema: embeddingRequest } } } },
    responses: {
      200: { description: "One unit-length vector per text", content: { "application/json": { schema: embeddingList } } },
      400: problemOf("The request is wrong, or a text is too long"),
      401: problemOf("No valid key"),
      403: problemOf("The key may not read"),
      404: problemOf("No such model"),
      413: problemOf("The body is too large"),
      503: problemOf("The embedder is away"),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/usage",
    summary: "What a project used, by the day (UTC); for an admin key without X-Millrace-Project, what all did",
    security: [{ key: [] }],
    request: { query: z.object({ from: z.iso.date().optional(), to: z.iso.date().optional() }) },
    responses: {
      200: { description: "Days with any usage, and their total", content: { "application/json": { schema: usage } } },
      400: problemOf("`from` or `to` is wrong"),
      401: problemOf("No valid key"),
      403: problemOf("The key may not read"),
      503: problemOf("The queue Redis is away"),
    },
  });
  describeSessions(registry, problemOf);
  describeDocuments(registry, problemOf);
  registry.registerPath({
    method: "post",
    path: "/mcp",
    summary: "The Model Context Protocol: tools that search, ask, read and list documents",
    security: [{ key: [] }],
    request: { body: { required: true, content: { "application/json": { schema: z.object({ jsonrpc: z.literal("2.0") }) } } } },
    responses: {
      200: { description: "Messages as server-sent events", content: { "text/event-stream": { schema: z.string() } } },
      401: problemOf("No valid key"),
      403: problemOf("The key may not read"),
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
  plain("/metrics", "Prometheus metrics, for admin keys", { 200: "Text format", 401: "No valid key", 403: "The key is of one project" });
  plain("/openapi.json", "This description", { 200: "JSON" });
  app.doc31("/openapi.json", { openapi: "3.1.0", info: { title: "Millrace query service", version: "1" } });
}

function describeSessions(
  registry: OpenAPIHono["openAPIRegistry"],
  problemOf: (description: string) => { description: string; content: Record<string, { schema: typeof problem }> },
): void {
  const security = [{ key: [] }];
  const one = z.object({ id: z.string().openapi({ description: "session_id" }) });
  const json = (description: string, schema: z.ZodType) => ({ description, content: { "application/json": { schema } } });
  const refusals = { 401: problemOf("No valid key"), 403: problemOf("The key may not read"), 503: problemOf("A dependency is away") };
  const unknown = { 404: problemOf("This key has no such session") };
  registry.registerPath({
    method: "get",
    path: "/v1/sessions",
    summary: "The conversations of this key, those last used first",
    security,
    responses: {
      200: json(
        "All of them",
        z.object({
          object: z.literal("list"),
          data: z.array(z.object({ object: z.literal("session"), session_id: z.string(), turns: z.int(), updated_at: z.string() })),
        }),
      ),
      ...refusals,
    },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/sessions/{id}",
    summary: "What a conversation remembers, oldest first",
    security,
    request: { params: one },
    responses: {
      200: json(
        "It",
        z.object({
          object: z.literal("session"),
          session_id: z.string(),
          turns: z.array(
            z.object({
              question: z.string(),
              standalone_question: z.string(),
              answer: z.string().nullable().openapi({ description: "null: a document that it cites has been deleted." }),
              at: z.string(),
            }),
          ),
        }),
      ),
      ...unknown,
      ...refusals,
    },
  });
  registry.registerPath({
    method: "delete",
    path: "/v1/sessions/{id}",
    summary: "Forget a conversation",
    security,
    request: { params: one },
    responses: {
      200: json("Forgotten", z.object({ object: z.literal("session.deleted"), session_id: z.string(), deleted: z.literal(true) })),
      ...unknown,
      ...refusals,
    },
  });
}

function describeDocuments(
  registry: OpenAPIHono["openAPIRegistry"],
  problemOf: (description: string) => { description: string; content: Record<string, { schema: typeof problem }> },
): void {
  const security = [{ key: [] }];
  const one = z.object({ id: z.string().openapi({ description: "document_id" }) });
  const json = (description: string, schema: z.ZodType) => ({ description, content: { "application/json": { schema } } });
  const list = (of: z.ZodType) => z.object({ object: z.literal("list"), data: z.array(of) });
  const refusals = {
    400: problemOf("The request is wrong"),
    401: problemOf("No valid key"),
    403: problemOf("The key lacks the scope"),
    404: problemOf("Unknown, in this project or to this key"),
    503: problemOf("A dependency is away"),
  };
  registry.registerPath({
    method: "post",
    path: "/v1/documents",
    summary: "Put a document in, or a new version of one: as text, or as a file in multipart/form-data",
    security,
    request: {
      headers: z.object({ "Idempotency-Key": z.string().max(255).optional() }),
      body: {
        required: true,
        content: {
          "application/json": { schema: upload },
          "multipart/form-data": {
            schema: upload.omit({ text: true }).extend({ file: z.string().openapi({ format: "binary" }), metadata: z.string().optional() }),
          },
        },
      },
    },
    responses: {
      200: json("Unchanged, or failed before with these bytes", acceptedDocument),
      202: json("Queued", acceptedDocument),
      409: problemOf("The first request with this Idempotency-Key is under way"),
      413: problemOf("The document is too large"),
      415: problemOf("There is no parser for it"),
      422: problemOf("The Idempotency-Key belongs to another request"),
      429: problemOf("The queue is full"),
      ...refusals,
    },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/documents",
    summary: "The documents of the project, by source",
    security,
    request: {
      query: z.object({
        state: documentState.optional(),
        prefix: z.string().optional(),
        limit: z.int().max(limits.pageSizeMax).optional(),
        cursor: z.string().optional(),
      }),
    },
    responses: { 200: json("A page", list(document).extend({ next_cursor: z.string().nullable() })), ...refusals },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/documents/{id}",
    summary: "One document",
    security,
    request: { params: one },
    responses: { 200: json("It", document), ...refusals },
  });
  registry.registerPath({
    method: "delete",
    path: "/v1/documents/{id}",
    summary: "Delete a document: no search returns it once this has answered",
    security,
    request: { params: one },
    responses: {
      200: json(
        "Deleted",
        z.object({ object: z.literal("document.deleted"), document_id: z.string(), source: z.string(), deleted: z.literal(true) }),
      ),
      ...refusals,
    },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/documents/{id}/chunks",
    summary: "The chunks of its live version, in order",
    security,
    request: { params: one, query: z.object({ limit: z.int().max(limits.pageSizeMax).optional(), offset: z.int().optional() }) },
    responses: {
      200: json("A page", list(chunk).extend({ total: z.int(), next_offset: z.int().nullable() })),
      ...refusals,
    },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/ingests/{id}/events",
    summary: "What happens to the documents of an ingest, as server-sent events: `document` for each step, `done` when none is pending",
    security,
    request: { params: z.object({ id: z.string() }), headers: z.object({ "Last-Event-ID": z.string().optional() }) },
    responses: {
      200: { description: "text/event-stream", content: { "text/event-stream": { schema: z.string() } } },
      ...refusals,
    },
  });
}
