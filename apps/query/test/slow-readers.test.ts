import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { afterEach, expect, test, vi } from "vitest";
import { eventStream } from "../src/ask/event-stream.ts";

/** Readers of a stream that take nothing, on real sockets. */
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

type StreamOptions = Omit<Parameters<typeof eventStream>[0], "client" | "run">;

interface Stalled {
  /** Characters that were sent before the stream was given up, and the reason why it was. */
  sent: number;
  reason: unknown;
}

/** Floods a reader that has asked and reads nothing. */
async function flood(options: StreamOptions, everyMs = 0): Promise<{ stalled: Stalled; reader: Socket }> {
  const stalled: Stalled = { sent: 0, reason: undefined };
  const text = "x".repeat(64 * 1024);
  const run = (send: (event: { data: unknown }) => void, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const timer = setInterval(() => {
        send({ data: text });
        stalled.sent += text.length;
      }, everyMs);
      signal.addEventListener("abort", () => {
        clearInterval(timer);
        stalled.reason = signal.reason;
        resolve();
      });
    });
  const server = createServer(getRequestListener((request) => eventStream({ client: request.signal, run, ...options })));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const reader = connect((server.address() as AddressInfo).port, "127.0.0.1");
  reader.on("error", () => undefined).pause();
  reader.write("GET / HTTP/1.1\r\nHost: here\r\n\r\n");
  closers.push(() => {
    reader.destroy();
    server.closeAllConnections();
    server.close();
  });
  return { stalled, reader };
}

test("one that takes nothing for a while is given up, and what makes the answer is told", async () => {
  const { stalled } = await flood({ stallMsMax: 200, waitingCharsMax: Number.POSITIVE_INFINITY }, 20);
  await vi.waitFor(() => expect(stalled.reason).toMatchObject({ name: "AbortError", message: "The reader takes nothing" }), 30_000);
});

test("what waits for it is bounded, however long it may take", async () => {
  const waitingCharsMax = 1024 * 1024;
  const { stalled } = await flood({ stallMsMax: 3_600_000, waitingCharsMax });
  await vi.waitFor(() => expect(stalled.reason).toMatchObject({ message: "The reader takes nothing" }), 30_000);
  // What the sockets on both sides hold comes on top.
  expect(stalled.sent).toBeLessThan(32 * waitingCharsMax);
});

test("one that reads is not, and gets a sign of life while nothing happens", async () => {
  const run = async (send: (event: { data: unknown }) => void, signal: AbortSignal): Promise<void> => {
    await vi.waitFor(() => expect(heard).toContain(": still there"), 30_000);
    expect(signal.aborted).toBe(false);
    send({ data: "end" });
  };
  let heard = "";
  const response = eventStream({ client: new AbortController().signal, run, heartbeatMs: 20, stallMsMax: 10_000 });
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) heard += Buffer.from(part).toString();
  expect(heard).toMatch(/^(?:: still there\n\n)+data: end\n\n$/);
});
