import { limits } from "@millrace/core";

export interface ServerSentEvent {
  /** Undefined: an event without a name, as OpenAI's streams are made of. */
  readonly event?: string;
  /** Text goes as it is, anything else as JSON. */
  readonly data: unknown;
}

interface EventStreamOptions {
  /** Aborts when the client has left. */
  readonly client: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
  /** Makes the events; when it resolves the stream ends. The signal aborts when nobody reads them any more. It must not reject. */
  readonly run: (send: (event: ServerSentEvent) => void, signal: AbortSignal) => Promise<void>;
  readonly heartbeatMs?: number;
  readonly stallMsMax?: number;
  readonly waitingCharsMax?: number;
}

/**
 * A reply of server-sent events. What the reader has not taken waits here; a reader that takes nothing for `stallMsMax`, or leaves more than `waitingCharsMax`
 * lying, is given up. Headers and heartbeats keep proxies from collecting or closing the stream.
 */
export function eventStream({
  client,
  headers = {},
  run,
  heartbeatMs = limits.streamHeartbeatMs,
  stallMsMax = limits.streamStallMsMax,
  waitingCharsMax = limits.streamWaitingCharsMax,
}: EventStreamOptions): Response {
  const encoder = new TextEncoder();
  const abandon = new AbortController();
  const signal = AbortSignal.any([client, abandon.signal]);
  let waiting = "";
  let ended = false;
  let wake: (() => void) | undefined;
  let stall: NodeJS.Timeout | undefined;

  const giveUp = (): void => {
    waiting = "";
    abandon.abort(new DOMException("The reader takes nothing", "AbortError"));
  };
  const put = (text: string): void => {
    if (signal.aborted) return;
    waiting += text;
    stall ??= setTimeout(giveUp, stallMsMax);
    if (waiting.length > waitingCharsMax) giveUp();
    wake?.();
  };
  const body = new ReadableStream<Uint8Array>({
    start() {
      void run((event) => put(blockOf(event)), signal).finally(() => {
        ended = true;
        wake?.();
      });
      signal.addEventListener("abort", () => wake?.(), { once: true });
    },
    async pull(controller) {
      while (waiting === "" && !ended && !signal.aborted) {
        const timer = setTimeout(() => put(": still there\n\n"), heartbeatMs);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
        clearTimeout(timer);
      }
      clearTimeout(stall);
      stall = undefined;
      if (signal.aborted) return controller.error(signal.reason);
      if (waiting !== "") controller.enqueue(encoder.encode(waiting));
      else controller.close();
      waiting = "";
    },
    cancel() {
      clearTimeout(stall);
      abandon.abort(new DOMException("The client left", "AbortError"));
    },
  });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
      ...headers,
    },
  });
}

function blockOf({ event, data }: ServerSentEvent): string {
  return `${event === undefined ? "" : `event: ${event}\n`}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
}
