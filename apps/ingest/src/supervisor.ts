import { type ChildProcess, fork } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, DependencyError } from "@millrace/core";
import type { Logger } from "@millrace/runtime";

/** A process of the installation, e.g. `worker-1`. */
export interface ServiceSpec {
  readonly name: string;
  /** Compiled module that sends `{type: "ready"}` when it is up and ends on SIGTERM. */
  readonly entry: URL;
  readonly env: NodeJS.ProcessEnv;
  /** Options of Node itself. */
  readonly nodeArguments: readonly string[];
}

interface Service {
  readonly spec: ServiceSpec;
  child: ChildProcess | undefined;
  /** Consecutive ends, for the backoff. */
  ends: number;
  restart: NodeJS.Timeout | undefined;
}

const readyMsMax = 60_000;
const stopMsMax = 17_000;
const backoffMsMin = 500;
const backoffMsMax = 30_000;
/** A process that lived this long was well: the backoff begins anew. */
const healthyMs = 60_000;
const logBytesMax = 16 * 1024 * 1024;

/**
 * Starts processes and keeps them running: one that dies is started again, at growing intervals. What they print goes to
 * `<logs>/<name>.log`. A process that cannot start at all the first time is an error instead: repeating it would only hide why.
 */
export class Supervisor {
  readonly #logFolder: string;
  readonly #logger: Logger;
  readonly #onChange: () => void;
  readonly #services = new Map<string, Service>();
  #closed = false;

  /** `onChange` is called whenever a process id changed. */
  constructor(logFolder: string, logger: Logger, onChange: () => void) {
    this.#logFolder = logFolder;
    this.#logger = logger;
    this.#onChange = onChange;
    mkdirSync(logFolder, { recursive: true });
  }

  /** Resolves when it is ready. @throws ConfigError `service.misconfigured` | DependencyError `service.start_failed` with the end of its log */
  async start(spec: ServiceSpec): Promise<void> {
    const service: Service = { spec, child: undefined, ends: 0, restart: undefined };
    await this.#rotate(spec.name);
    const logStart = await sizeOf(this.#logPath(spec.name));
    this.#services.set(spec.name, service);
    const child = this.#spawn(service);
    const outcome = await readiness(child);
    if (outcome === "ready") {
      this.#watch(service, child);
      return;
    }
    child.kill("SIGKILL");
    const tail = (await readFile(this.#logPath(spec.name)))
      .subarray(logStart)
      .toString()
      .trim()
      .split("\n")
      .slice(-5)
      .map(readable)
      .join("\n  ");
    const message = `${spec.name} did not start (${outcome}):\n  ${tail}`;
    const hint = `Its log is ${this.#logPath(spec.name)}.`;
    if (child.exitCode === 2) throw new ConfigError("service.misconfigured", message, { hint });
    throw new DependencyError("service.start_failed", message, { hint });
  }

  pids(): { name: string; pid: number }[] {
    return [...this.#services.values()].flatMap(({ spec, child }) =>
      child?.pid === undefined ? [] : [{ name: spec.name, pid: child.pid }],
    );
  }

  /** Asks all to end, and kills those that have not after 17 s. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(
      [...this.#services.values()].map(async ({ child, restart }) => {
        clearTimeout(restart);
        if (child !== undefined) await end(child);
      }),
    );
  }

  #spawn(service: Service): ChildProcess {
    // In a process group of its own: Ctrl-C in the terminal is for the supervisor, which stops its processes in order.
    const log = openSync(this.#logPath(service.spec.name), "a", 0o600);
    const child = fork(fileURLToPath(service.spec.entry), [], {
      env: service.spec.env,
      stdio: ["ignore", log, log, "ipc"],
      execArgv: [...service.spec.nodeArguments],
      detached: true,
    });
    closeSync(log);
    // An error here is a failed spawn or kill; "exit" or the readiness timeout decides what follows.
    child.on("error", (error) => this.#logger.warn({ err: error, service: service.spec.name }, "service.error"));
    service.child = child;
    this.#onChange();
    return child;
  }

  #watch(service: Service, child: ChildProcess): void {
    const startedAt = performance.now();
    const onExit = (): void => {
      service.child = undefined;
      this.#onChange();
      if (this.#closed) return;
      service.ends = performance.now() - startedAt > healthyMs ? 1 : service.ends + 1;
      const delayMs = Math.min(backoffMsMin * 2 ** (service.ends - 1), backoffMsMax);
      const { name } = service.spec;
      this.#logger.warn({ service: name, code: child.exitCode, signal: child.signalCode, delayMs }, "service.died");
      service.restart = setTimeout(() => this.#watch(service, this.#spawn(service)), delayMs);
    };
    if (hasEnded(child)) onExit();
    else child.once("exit", onExit);
  }

  #logPath(name: string): string {
    return join(this.#logFolder, `${name}.log`);
  }

  /** One generation of old log is kept. */
  async #rotate(name: string): Promise<void> {
    const path = this.#logPath(name);
    if ((await sizeOf(path)) > logBytesMax) await rename(path, `${path}.old`);
  }
}

function readiness(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(`not ready after ${readyMsMax / 1_000} s`), readyMsMax);
    const settle = (outcome: string): void => {
      clearTimeout(timer);
      child.off("message", onMessage).off("exit", onExit).off("error", onError);
      resolve(outcome);
    };
    const onMessage = (message: unknown): void => {
      if (typeof message === "object" && message !== null && "type" in message && message.type === "ready") settle("ready");
    };
    const onExit = (code: number | null, signal: NodeJS.Signals | null): void => settle(`ended with ${signal ?? `code ${code}`}`);
    const onError = (error: Error): void => settle(error.message);
    child.on("message", onMessage).on("exit", onExit).on("error", onError);
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), stopMsMax);
  await exited;
  clearTimeout(timer);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** A log line as a person reads it: the reason and hint of a JSON line, other text as it is. */
function readable(line: string): string {
  try {
    const { msg, reason, hint } = JSON.parse(line) as { msg?: string; reason?: string; hint?: string };
    return [msg, reason, hint].filter((part) => part !== undefined).join(": ");
  } catch {
    return line;
  }
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}
