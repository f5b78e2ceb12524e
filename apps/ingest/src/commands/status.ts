import { connect } from "node:net";
import { isServiceReady } from "@millrace/client";
import { type QueueCounts, queueNames } from "@millrace/queue";
import { type Config, connectRedis, loadConfig } from "@millrace/runtime";
import { type RunState, readRunState } from "@millrace/stack";
import type { Command } from "commander";
import { withSession } from "../session.ts";
import { print, printJson, table, withoutPassword } from "../terminal.ts";

interface ServiceStatus {
  readonly name: string;
  readonly pid: number | undefined;
  readonly address: string;
  readonly healthy: boolean;
}

interface Contents {
  readonly queues: Readonly<Record<string, QueueCounts>>;
  readonly workers: number;
  /** project -> state -> count, without zeros */
  readonly documents: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

const probeMs = 2_000;

export function addStatusCommand(program: Command): void {
  program
    .command("status")
    .description("What runs, whether it is well, and what it holds. Ends with 1 when something is not well.")
    .option("--json", "as one JSON object", false)
    .action(async (options: { json: boolean }) => {
      process.exitCode = await status(options.json);
    });
}

/** Answers with the exit code. */
async function status(json: boolean): Promise<number> {
  const config = loadConfig();
  const running = await readRunState(config.home);
  const services = await probeAll(config, running);
  const queueWell = services.some(({ name, healthy }) => name === "redis-queue" && healthy);
  const contents = queueWell ? await readContents(config) : undefined;
  const healthy = services.length > 0 && services.every((service) => service.healthy);
  if (json) {
    printJson({
      home: config.home,
      running: running !== undefined,
      phase: running?.phase ?? null,
      pid: running?.pid ?? null,
      healthy,
      services,
      ...contents,
    });
  } else printStatus(config, running, services, contents);
  return healthy ? 0 : 1;
}

async function probeAll(config: Config, running: RunState | undefined): Promise<ServiceStatus[]> {
  const pidOf = (name: string): number | undefined => running?.processes.find((each) => each.name === name)?.pid;
  const redisQueueUrl = config.redisQueueUrl ?? running?.redisQueueUrl;
  const redisCacheUrl = config.redisCacheUrl ?? running?.redisCacheUrl;
  const milvusAddress = config.milvusAddress ?? running?.milvusAddress;
  const probes: Promise<ServiceStatus>[] = [];
  const probe = (name: string, address: string | undefined, check: (address: string) => Promise<boolean>): void => {
    if (address === undefined) return;
    probes.push(
      check(address).then((healthy) => ({
        name,
        pid: pidOf(name === "milvus" ? "milvus-lite" : name),
        address: withoutPassword(address),
        healthy,
      })),
    );
  };
  probe("redis-queue", redisQueueUrl, answersPing);
  probe("redis-cache", redisCacheUrl, answersPing);
  probe("milvus", milvusAddress, acceptsConnection);
  probe("query", running?.queryUrl, (url) => isServiceReady(url));
  probe("dashboard", running?.dashboardUrl, (url) => acceptsConnection(new URL(url).host));
  for (const { name, pid } of running?.processes ?? []) {
    if (name.startsWith("worker")) probes.push(Promise.resolve({ name, pid, address: "", healthy: isAlive(pid) }));
  }
  return Promise.all(probes);
}

function readContents(config: Config): Promise<Contents> {
  return withSession(config, async ({ ledger, producer }) => {
    const queues = Object.fromEntries(await Promise.all(queueNames.map(async (name) => [name, await producer.counts(name)] as const)));
    const documents = Object.fromEntries(
      await Promise.all(
        (await ledger.projects()).map(async (project) => {
          const counts = Object.entries(await ledger.countByState(project)).filter(([, count]) => count > 0);
          return [project, Object.fromEntries(counts)] as const;
        }),
      ),
    );
    return { queues, workers: await producer.workerCount("documents"), documents };
  });
}

function printStatus(
  config: Config,
  running: RunState | undefined,
  services: readonly ServiceStatus[],
  contents: Contents | undefined,
): void {
  print(
    running === undefined
      ? `Nothing was started by \`millrace up\` on ${config.home}.`
      : `${config.home}: ${running.phase}, process ${running.pid}`,
  );
  if (services.length > 0) {
    const rows = services.map(({ name, pid, address, healthy }) => [
      name,
      pid === undefined ? "" : String(pid),
      address,
      healthy ? "well" : "NOT WELL",
    ]);
    print(`\n${table(["service", "pid", "address", "health"], rows)}`);
  }
  if (contents === undefined) return;
  const queues = Object.entries(contents.queues).map(([name, { waiting, active, delayed, failed }]) => [
    name,
    waiting,
    active,
    delayed,
    failed,
  ]);
  print(`\n${table(["queue", "waiting", "active", "delayed", "failed"], queues)}`);
  print(`workers connected: ${contents.workers}`);
  const documents = Object.entries(contents.documents).map(([project, counts]) => [
    project,
    Object.entries(counts)
      .map(([state, count]) => `${count} ${state}`)
      .join(", "),
  ]);
  if (documents.length > 0) print(`\n${table(["project", "documents"], documents)}`);
}

async function answersPing(url: string): Promise<boolean> {
  const redis = connectRedis(url, "queue", () => undefined);
  try {
    return (await redis.ping()) === "PONG";
  } catch {
    return false;
  } finally {
    redis.disconnect();
  }
}

/** `address` is host:port. */
function acceptsConnection(address: string): Promise<boolean> {
  const { hostname, port } = new URL(`tcp://${address.replace(/^\w+:\/\//, "")}`);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) });
    const settle = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.setTimeout(probeMs, () => settle(false));
    socket.once("connect", () => settle(true)).once("error", () => settle(false));
  });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
