import { createServer, type Server, type Socket, connect as tcpConnect } from "node:net";

/**
 * A TCP proxy that fails on purpose, between a client and a real server:
 * - `pass`: forwards
 * - `black-hole`: takes and keeps everything, in both directions, and says nothing; connections stay open
 * - `swallow-replies`: requests reach the server, its answers are lost
 * - `refuse`: closes new connections at once
 */
export type FaultMode = "pass" | "black-hole" | "swallow-replies" | "refuse";

export interface FaultProxy {
  readonly port: number;
  mode: FaultMode;
  /** Resets every open connection, as a failing network device does. */
  reset(): void;
  /** Connections open now. */
  readonly connections: number;
  close(): Promise<void>;
}

export async function startFaultProxy(targetPort: number): Promise<FaultProxy> {
  const pairs = new Set<{ client: Socket; server: Socket }>();
  let mode: FaultMode = "pass";
  const listener: Server = createServer((client) => {
    if (mode === "refuse") return void client.resetAndDestroy();
    const server = tcpConnect({ host: "127.0.0.1", port: targetPort });
    const pair = { client, server };
    pairs.add(pair);
    client.setNoDelay(true);
    server.setNoDelay(true);
    client.on("data", (data) => {
      if (mode !== "black-hole") server.write(data);
    });
    server.on("data", (data) => {
      if (mode === "pass") client.write(data);
    });
    const end = (): void => {
      pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.on("error", () => undefined).on("close", end);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    get mode() {
      return mode;
    },
    set mode(value) {
      mode = value;
    },
    reset() {
      for (const { client, server } of pairs) {
        client.resetAndDestroy();
        server.resetAndDestroy();
      }
    },
    get connections() {
      return pairs.size;
    },
    async close() {
      for (const { client, server } of pairs) {
        client.destroy();
        server.destroy();
      }
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
}
