import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";

/**
 * The port to use: the configured one, else the one used last time where it is still free (addresses that stay are easier to live with), else any free one.
 */
export async function choosePort(configured: number, previous: number | undefined): Promise<number> {
  if (configured !== 0) return configured;
  if (previous !== undefined && (await tryPort(previous)) !== undefined) return previous;
  const port = await tryPort(0);
  if (port === undefined) throw new Error("no free port on the loopback");
  return port;
}

export type RememberedPorts = Readonly<Record<string, number>>;

export async function readPorts(path: string): Promise<RememberedPorts> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as RememberedPorts;
  } catch {
    return {}; // the first start, or a damaged file: new ports do no harm
  }
}

export async function writePorts(path: string, ports: RememberedPorts): Promise<void> {
  await writeFile(path, JSON.stringify(ports));
}

/** The port that could be bound, undefined when it is taken. */
function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" ? address?.port : undefined));
    });
  });
}
