import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/**
 * A model hub that speaks as the public one does, as far as downloads go: `/<model>/resolve/<revision>/<file>`, ranges, weights behind a redirect, 401 for what it
 * does not have of other people, 404 for a file that is not there.
 */
export interface ModelHub {
  readonly url: string;
  /** Bytes of bodies that left it, by file. */
  readonly sent: Map<string, number>;
  /** Sends half of the weights, then does as told. */
  trouble: "none" | "breaks off" | "stalls" | "503";
  /** Resolves when half of the weights are out, with `trouble`. */
  half: Promise<void>;
  close(): Promise<void>;
}

export interface ServedModel {
  readonly id: string;
  readonly revision: string;
  readonly folder: string;
}

export async function startModelHub({ id, revision, folder }: ServedModel): Promise<ModelHub> {
  const sent = new Map<string, number>();
  let reachedHalf: () => void = () => undefined;
  const hub = { sent, trouble: "none" as ModelHub["trouble"], half: new Promise<void>((resolve) => (reachedHalf = resolve)) };
  const root = `/${id}/resolve/${encodeURIComponent(revision)}/`;
  const server = createServer((request, response) => {
    const url = request.url ?? "";
    if (hub.trouble === "503") return void response.writeHead(503).end();
    if (url.startsWith("/weights/")) return sendWeights(request, response, url.slice("/weights/".length));
    if (!url.startsWith(`/${id}/`)) return void response.writeHead(401).end();
    const file = url.slice(root.length);
    if (!url.startsWith(root) || !existsSync(join(folder, file))) return void response.writeHead(404).end("Entry not found");
    if (file.endsWith(".onnx")) return void response.writeHead(302, { location: `/weights/${file}` }).end();
    send(request, response, file);
  });

  function send(request: IncomingMessage, response: ServerResponse, file: string, end?: number): void {
    const path = join(folder, file);
    const { size } = statSync(path);
    const range = request.headers.range === "bytes=0-0";
    const headers = range ? { "content-range": `bytes 0-0/${size}`, "content-length": "1" } : { "content-length": String(size) };
    response.writeHead(range ? 206 : 200, headers);
    const stream = createReadStream(path, range ? { end: 0 } : end === undefined ? {} : { end });
    stream.on("data", (piece) => sent.set(file, (sent.get(file) ?? 0) + piece.length));
    stream.pipe(response, { end: end === undefined });
    if (end === undefined) return;
    stream.once("end", () => {
      reachedHalf();
      if (hub.trouble === "breaks off") response.destroy();
    });
  }

  function sendWeights(request: IncomingMessage, response: ServerResponse, file: string): void {
    const half = Math.floor(statSync(join(folder, file)).size / 2);
    send(request, response, file, hub.trouble === "none" ? undefined : half);
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(hub, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
}
