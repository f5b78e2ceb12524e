import { questions, type Tenant } from "./tenants.ts";

/** One request of an attacker. */
export interface Probe {
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** What may be answered to it. */
  readonly statuses: readonly number[];
}

export interface Attack {
  /** What a key must be for to be heard at all. */
  readonly needs: "nothing" | "any key" | "read" | "ingest" | "admin";
  /** A stream that may stay open: only its beginning is waited for. */
  readonly streams?: boolean;
  /** One of so many tries of others, because it costs much. */
  readonly oneIn?: number;
  /** With the attacker's own key. */
  readonly probe: (attacker: Tenant, victim: Tenant, pick: Pick) => Probe;
}

/** Draws by lot. */
type Pick = <T>(options: readonly T[]) => T;

/** Documents that every attacker puts into its own project, under a name that all of them use. */
export const uploaded = { source: "shared.md", ingestId: "the-same-run" } as const;

/** A conversation that every project has under this name. */
const sharedTalk = "our-talk";

const earlierTurns = [
  { role: "user", content: questions[1] },
  { role: "assistant", content: "More than last year [1]." },
];

/** A place in a list, as the service writes it. */
const cursorOf = (place: string): string => Buffer.from(place).toString("base64url");

/** A search that would like to see more than it may. */
function wideSearch(victim: Tenant, pick: Pick): Readonly<Record<string, unknown>> {
  return {
    mode: pick(["hybrid", "dense", "keyword"]),
    ...pick([
      { top_k: 1 },
      { top_k: 200 },
      { top_k: 10, group_by: "document", group_size: 2 },
      { top_k: 10, expand: 2, highlight: true },
      { top_k: 10, expand: "section" },
      { top_k: 10, diversity: 0.5 },
    ]),
    filter: pick([
      undefined,
      undefined,
      { type: "ne", key: "source", value: "" },
      // Were it outside of its parentheses, the second half would open every project.
      {
        type: "or",
        filters: [
          { type: "eq", key: "title", value: "none" },
          { type: "gte", key: "source", value: "" },
        ],
      },
      { type: "eq", key: "document_id", value: pick(victim.documentIds) },
      { type: "in", key: "document_id", value: victim.documentIds },
      { type: "eq", key: "title", value: `" or project == "${victim.project}` },
      { type: "eq", key: "source_prefix", value: "private/" },
      { type: "eq", key: "metadata.year", value: 2026 },
    ]),
  };
}

const tool = (name: string, args: object) => ({ method: "tools/call", params: { name, arguments: args } });

/** A document of the victim, or an id that is none. */
const foreignDocument =
  (below = ""): Attack["probe"] =>
  (_, victim, pick) => ({
    path: `/v1/documents/${pick([...victim.documentIds, victim.project, `..%2f${victim.project}`, "%00", "*"])}${below}`,
    statuses: [404],
  });

/** A conversation of the victim, or the attacker's own one where it has used the same name. */
const foreignTalk: Attack["probe"] = (_, victim, pick) => {
  const id = pick([victim.talk, victim.openTalk, sharedTalk]);
  return { path: `/v1/sessions/${id}`, statuses: id === victim.talk ? [404] : [200, 404] };
};

/**
 * What is tried, for each route as OpenAPI names it. A route without an entry fails the test: whoever adds one thinks about whose data it shows.
 */
export const attacks: Readonly<Record<string, Attack>> = {
  "POST /v1/search": {
    needs: "read",
    probe: (_, victim, pick) => ({
      path: "/v1/search",
      body: { query: pick([...questions, `report of ${victim.project}`]), ...wideSearch(victim, pick) },
      statuses: [200],
    }),
  },
  "POST /v1/ask": {
    needs: "read",
    oneIn: 8,
    probe: (_, victim, pick) => ({
      path: "/v1/ask",
      body: {
        ...pick([{}, { session_id: sharedTalk }, { session_id: victim.openTalk }]),
        question: pick(questions),
        stream: pick([false, true]),
        ...wideSearch(victim, pick),
      },
      statuses: [200],
    }),
  },
  "POST /v1/chat/completions": {
    needs: "read",
    oneIn: 8,
    probe: (_, victim, pick) => ({
      path: "/v1/chat/completions",
      body: {
        messages: [
          { role: "system", content: `You answer for the project ${victim.project}.` },
          ...pick([[], earlierTurns]),
          { role: "user", content: pick(questions) },
        ],
        stream: pick([false, true]),
        millrace: wideSearch(victim, pick),
      },
      statuses: [200],
    }),
  },
  "POST /mcp": {
    needs: "read",
    probe: (_, victim, pick) => ({
      path: "/mcp",
      headers: { accept: "application/json, text/event-stream" },
      body: {
        jsonrpc: "2.0",
        id: 1,
        ...pick([
          tool("search", { query: pick(questions), top_k: pick([1, 20]), filter: wideSearch(victim, pick)["filter"] }),
          tool("ask", { question: pick(questions), filter: wideSearch(victim, pick)["filter"] }),
          tool("read_document", { document: pick([...victim.documentIds, "report.md", victim.project]), offset: pick([0, 1]) }),
          tool("list_documents", { prefix: pick(["", "private/", victim.project]), state: pick(["live", "queued"]) }),
          tool("list_documents", { cursor: cursorOf(`report.md\0${victim.documentIds[0]}`) }),
          { method: "tools/list" },
          { method: "resources/read", params: { uri: `millrace://${victim.project}/report.md` } },
        ]),
      },
      statuses: [200],
    }),
  },
  "GET /v1/sessions": { needs: "read", probe: () => ({ path: "/v1/sessions", statuses: [200] }) },
  "GET /v1/sessions/{id}": { needs: "read", probe: foreignTalk },
  "DELETE /v1/sessions/{id}": { needs: "read", probe: foreignTalk },
  "GET /v1/models": { needs: "any key", probe: () => ({ path: "/v1/models", statuses: [200] }) },
  "GET /v1/models/{id}": {
    needs: "any key",
    probe: (_, victim, pick) => ({ path: `/v1/models/${pick([victim.project, "*"])}`, statuses: [404] }),
  },
  "GET /v1/usage": {
    needs: "read",
    probe: (_, victim, pick) => ({
      path: `/v1/usage?project=${victim.project}${pick(["", "&from=2026-01-01&to=2026-12-31"])}`,
      statuses: [200],
    }),
  },
  "POST /v1/embeddings": {
    needs: "read",
    probe: (_, victim, pick) => ({ path: "/v1/embeddings", body: { input: pick([...questions, victim.project]) }, statuses: [200] }),
  },
  "POST /v1/documents": {
    needs: "ingest",
    probe: (_attacker, _victim, pick) => ({
      path: "/v1/documents",
      headers: pick([{}, { "idempotency-key": "the same for all" }]),
      body: {
        text: "The yearly report of the house.",
        source: uploaded.source,
        ingest_id: uploaded.ingestId,
        metadata: { attempt: pick([1, 2]) },
      },
      statuses: [200, 202, 409, 422],
    }),
  },
  "GET /v1/documents": {
    needs: "read",
    probe: (_, victim, pick) => {
      const cursor = (text: string): string => `&cursor=${cursorOf(text)}`;
      const [documentId = ""] = victim.documentIds;
      return {
        path: `/v1/documents?limit=1000${pick(["", "&state=live", "&state=queued", "&prefix=private/", `&prefix=${victim.project}`, cursor(`report.md\0${documentId}`), cursor(""), cursor(`live\0report.md\0${documentId}`)])}`,
        statuses: [200],
      };
    },
  },
  "GET /v1/documents/{id}": { needs: "read", probe: foreignDocument() },
  "DELETE /v1/documents/{id}": { needs: "ingest", probe: foreignDocument() },
  "GET /v1/documents/{id}/chunks": { needs: "read", probe: foreignDocument("/chunks") },
  "GET /v1/ingests/{id}/events": {
    needs: "read",
    streams: true,
    probe: (_, victim, pick) => {
      const id = pick([victim.ingestId, uploaded.ingestId, `${victim.ingestId}:open`, "*"]);
      return {
        path: `/v1/ingests/${id}/events`,
        headers: pick([{}, { "last-event-id": "0-1" }]),
        // The attacker's own ingest of that name, once it has one.
        statuses: id === uploaded.ingestId ? [200, 404] : [404],
      };
    },
  },
  "GET /metrics": { needs: "admin", probe: () => ({ path: "/metrics", statuses: [403] }) },
  "GET /healthz": { needs: "nothing", probe: () => ({ path: "/healthz", statuses: [200] }) },
  "GET /readyz": { needs: "nothing", probe: () => ({ path: "/readyz", statuses: [200] }) },
  "GET /openapi.json": { needs: "nothing", probe: () => ({ path: "/openapi.json", statuses: [200] }) },
};
