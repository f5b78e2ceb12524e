import { DependencyError, errorMessage, isMillraceError } from "@millrace/core";
import { MilvusClient } from "./milvus-sdk.ts";

/**
 * The one place that talks about the SDK's ways of failing: some calls throw, some throw a plain status object, most return
 * normally with a failure inside, and an unimplemented call returns an empty object. Nothing outside sees a reply that
 * has not been through `checked`.
 */
export interface MilvusAddress {
  /** `host:port`, or `https://host:port`. */
  readonly address: string;
  /** `user:password` or an API key. */
  readonly token?: string;
}

/** Deadlines of one call, in milliseconds. */
export const deadlines = { connectMs: 5_000, readMs: 30_000, writeMs: 60_000, schemaMs: 120_000 } as const;

/** Codes of `status.code` that the store acts on; the same on Milvus and Milvus Lite. */
export const milvusCodes = { collectionNotFound: 100, collectionNotLoaded: 101, indexNotFound: 700, aliasNotFound: 1600 } as const;

/**
 * A connected client.
 * @throws DependencyError `store.unavailable`, `store.timeout`
 */
export async function connectMilvus({ address, token }: MilvusAddress): Promise<MilvusClient> {
  const client = new MilvusClient({
    address,
    ...(token === undefined ? {} : { token }),
    timeout: deadlines.connectMs,
    // Retrying is the caller's: it knows its deadline and what may be repeated.
    maxRetries: 0,
    // On by default: it would send usage figures to the server every few seconds.
    telemetry: { enabled: false },
    // With NODE_ENV=test its default is debug: every request and answer on stdout, texts and all.
    logLevel: "error",
    channelOptions: {
      // The default backoff grows to two minutes, far longer than a restart of the server takes.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1_000,
      // Otherwise a new client inherits the backoff of the failed ones before it, and fails without having tried.
      "grpc.use_local_subchannel_pool": 1,
      // The SDK pings every 10 s, also when nothing is asked; servers take that as abuse and close the connection.
      "grpc.keepalive_time_ms": 60_000,
      "grpc.keepalive_permit_without_calls": 0,
    },
  });
  try {
    // The constructor has begun to connect; a failure nobody awaits would end the process.
    await client.connectPromise;
    return client;
  } catch (error) {
    await client.closeConnection();
    throw asDependencyError(error, "connect");
  }
}

/**
 * Sends one request and checks its reply. Settles within the deadline.
 * @param send given the deadline in milliseconds for the request's `timeout`, which the SDK otherwise sets to a day on writes
 * @throws DependencyError `store.unavailable`, `store.timeout` (the outcome is unknown) or `store.failed`
 */
export async function call<T>(operation: string, deadlineMs: number, send: (timeoutMs: number) => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    // The request's own deadline does not cover the wait for a free connection of the SDK's pool.
    timer = setTimeout(() => reject(timedOut(operation, deadlineMs)), deadlineMs + 250);
  });
  try {
    return checked(await Promise.race([send(deadlineMs), late]), operation);
  } catch (error) {
    throw asDependencyError(error, operation);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Returns a reply that says success in both of its status fields.
 * @throws DependencyError `store.failed` for every other one
 */
export function checked<T>(reply: T, operation: string): T {
  const status = statusOf(reply);
  if (status === undefined) {
    throw new DependencyError("store.failed", `Milvus answered ${operation} with nothing: it does not implement this call`);
  }
  const { error_code, code, reason } = status;
  // Failures exist with only one of the two set: Lite's unexpected errors leave error_code at Success.
  if ((error_code === "Success" || error_code === 0) && (code === undefined || code === 0)) return reply;
  throw new DependencyError("store.failed", `Milvus failed to ${operation}: ${String(reason) || String(error_code)}`, {
    cause: { milvusCode: code === undefined || code === 0 ? error_code : code },
  });
}

/** The server's code of a failure thrown by `checked`, where it has one. */
export function milvusCodeOf(error: unknown): unknown {
  if (!isMillraceError(error) || typeof error.cause !== "object" || error.cause === null) return undefined;
  return "milvusCode" in error.cause ? error.cause.milvusCode : undefined;
}

interface Status {
  readonly error_code: unknown;
  readonly code?: unknown;
  readonly reason?: unknown;
}

/** The status of a reply, which is the reply itself for calls that return nothing else. */
function statusOf(reply: unknown): Status | undefined {
  if (typeof reply !== "object" || reply === null) return undefined;
  const status = "status" in reply ? reply.status : reply;
  return typeof status === "object" && status !== null && "error_code" in status ? status : undefined;
}

function asDependencyError(error: unknown, operation: string): Error {
  if (isMillraceError(error)) return error;
  // Some calls throw the failed reply as it is.
  if (!(error instanceof Error)) {
    try {
      checked(error, operation);
    } catch (failure) {
      return failure instanceof Error ? failure : new DependencyError("store.failed", String(failure));
    }
  }
  const grpcStatus = error instanceof Error && "code" in error ? error.code : undefined;
  if (grpcStatus === 4) return timedOut(operation, undefined, error);
  // 14 unavailable, 1 cancelled: the channel was closed under the call.
  const code = grpcStatus === 14 || grpcStatus === 1 ? "store.unavailable" : "store.failed";
  return new DependencyError(code, `Milvus failed to ${operation}: ${errorMessage(error)}`, {
    cause: error,
    ...(code === "store.unavailable" ? { hint: "Is Milvus running at MILVUS_ADDRESS? `millrace status` shows the embedded one." } : {}),
  });
}

function timedOut(operation: string, deadlineMs: number | undefined, cause?: unknown): DependencyError {
  const limit = deadlineMs === undefined ? "its deadline" : `${deadlineMs} ms`;
  return new DependencyError("store.timeout", `Milvus did not ${operation} within ${limit}`, { cause });
}
