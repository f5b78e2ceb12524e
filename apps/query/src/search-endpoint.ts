import type { IncomingMessage, ServerResponse } from "node:http";
import { type CachedAnswer, limits, parseSearchRequest, type SearchDeps, search } from "@millrace/core";
import type { Logger } from "@millrace/runtime";
import type { Admission } from "./admission.ts";
import { authenticate, type KeyVerifier, projectOf, requireScope } from "./authenticate.ts";
import type { QueryMetrics } from "./metrics.ts";
import { replyTo } from "./problem.ts";
import type { Caller } from "./quota/quota-policy.ts";
import type { Quotas } from "./quota/quotas.ts";
import { bodyTooLarge, notJson } from "./request-body.ts";
import type { UsageCounters } from "./usage/usage-counters.ts";

export interface SearchEndpointDeps extends SearchDeps {
  readonly keys: KeyVerifier;
  readonly admission: Admission;
  readonly quotas: Pick<Quotas, "admitSearch">;
  readonly usage: Pick<UsageCounters, "add">;
  readonly logger: Logger;
  readonly requestTimeoutMs?: number;
}

/** What of a request `POST /v1/search` depends on. */
export interface SearchCall {
  readonly authorization: string | undefined;
  readonly project: string | undefined;
  readonly body: string;
}

export interface SearchReply {
  readonly headers: Readonly<Record<string, string>>;
  /** The body in its parts. The hits among them are the bytes that were cached: a hit costs neither parsing nor serialising, nor a copy. */
  readonly parts: readonly [string, Uint8Array, string];
}

export const searchPath = "/v1/search";
const searchHeaders = { "content-type": "application/json", "cache-control": "no-store" } as const;

const computedSearch = { searches: 1 };
const cachedSearch = { searches: 1, searches_cached: 1 };

/** @throws Refusal, MillraceError, to be made a problem of */
export async function answerSearch(call: SearchCall, deps: SearchEndpointDeps, signal: () => AbortSignal): Promise<SearchReply> {
  const startedAt = performance.now();
  const principal = await authenticate(deps.keys, call.authorization);
  const project = projectOf(principal, call.project);
  requireScope(principal, "read");
  const { bytes, cache, headers } = await searchFor({ keyId: principal.keyId, project }, parseJson(call.body), deps, signal);
  const tookMs = Math.round((performance.now() - startedAt) * 1_000) / 1_000;
  return { headers, parts: ['{"object":"search_results","data":', bytes, `,"cache":"${cache}","took_ms":${tookMs}}`] };
}

/**
 * A search within its caller's quotas: the hits as `serialiseHits` writes them.
 * @throws as `answerSearch`
 */
export async function searchFor(
  caller: Caller,
  body: unknown,
  deps: SearchEndpointDeps,
  signal: () => AbortSignal,
): Promise<CachedAnswer & Pick<SearchReply, "headers">> {
  const { project } = caller;
  const request = parseSearchRequest(project, body);
  // Where searches have a quota, Redis is asked for it together with the epoch.
  const admitted = deps.quotas.admitSearch(caller);
  admitted?.catch(() => undefined); // awaited below, unless the epoch cannot be read
  const answer = await search(request, admitted === undefined ? deps : { ...deps, cache: cacheAfter(admitted, deps.cache) }, signal);
  deps.usage.add(project, answer.cache === "miss" ? computedSearch : cachedSearch);
  const headers = admitted === undefined ? searchHeaders : { ...searchHeaders, ...(await admitted) };
  return { bytes: answer.serialisedHits, cache: answer.cache, headers };
}

/** The cache, which nobody gets an answer of before he is admitted. */
function cacheAfter(admitted: Promise<unknown>, cache: SearchDeps["cache"]): SearchDeps["cache"] {
  return {
    async answer(...call) {
      await admitted;
      return cache.answer(...call);
    },
  };
}

/** What to do about a body that is larger than `requestBodyBytesMax`. */
export const largeBodyHint = `A query has at most ${limits.queryCharsMax} characters.`;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notJson();
  }
}

export interface DirectSearchDeps extends SearchEndpointDeps {
  readonly metrics: QueryMetrics;
}

/**
 * The same on the bare request and response of Node. A cached answer is found in less time than a framework takes to wrap a request in the web's
 * objects, so the one busy route goes without them.
 */
export function createDirectSearch(deps: DirectSearchDeps): (request: IncomingMessage, response: ServerResponse) => void {
  const timeoutMs = deps.requestTimeoutMs ?? limits.requestTimeoutMs;
  return (request, response) => {
    const end = deps.metrics.startRequest();
    let abort: AbortController | undefined;
    let timer: NodeJS.Timeout | undefined;
    // Made by hand, as the signals' own combinations cost more than a cached answer, and where nothing has to be computed, not at all.
    const signal = (): AbortSignal => {
      if (abort === undefined) {
        abort = new AbortController();
        if (response.closed) leave(abort);
        timer = setTimeout(() => abort?.abort(new DOMException("The request took too long", "TimeoutError")), timeoutMs);
      }
      return abort.signal;
    };
    response.once("close", () => {
      clearTimeout(timer);
      if (abort !== undefined && !response.writableEnded) leave(abort);
      end(searchPath, response.statusCode);
    });
    const { authorization, "x-millrace-project": project } = request.headers;
    readBody(request)
      .then((body) => answerSearch({ authorization, project: typeof project === "string" ? project : undefined, body }, deps, signal))
      .then(({ headers, parts: [start, hits, end] }) => {
        // What is not the hits is ASCII: as many bytes as characters. A list of headers costs Node less than an object.
        const list: (string | number)[] = ["content-length", start.length + hits.byteLength + end.length];
        for (const name in headers) list.push(name, headers[name] ?? "");
        response.writeHead(200, list);
        response.write(start);
        response.write(hits);
        response.end(end);
      })
      .catch((error: unknown) => sendResponse(replyTo(error, searchPath, deps.logger), request, response));
  };
}

function leave(abort: AbortController): void {
  abort.abort(new DOMException("The client left", "AbortError"));
}

async function sendResponse(reply: Response, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = Buffer.from(await reply.arrayBuffer());
  // What is left of a body that was not read to its end must not be taken for the next request.
  const headers = {
    ...Object.fromEntries(reply.headers),
    "content-length": body.byteLength,
    ...(request.complete ? {} : { connection: "close" }),
  };
  response.writeHead(reply.status, headers);
  response.end(body);
}

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    request.on("data", (part: Buffer) => {
      bytes += part.byteLength;
      if (bytes <= limits.requestBodyBytesMax) parts.push(part);
      else {
        request.pause();
        reject(bodyTooLarge(limits.requestBodyBytesMax, largeBodyHint));
      }
    });
    request.once("end", () => resolve((parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)).toString()));
    request.once("error", reject);
  });
}
