import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DependencyError, errorMessage } from "@millrace/core";
import type { Logger } from "@millrace/runtime";

export interface ServerSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** How it is asked to end. */
  readonly stopSignal: "SIGINT" | "SIGTERM";
  /** Resolves when the server answers; called again and again until it does. */
  readonly probe: () => Promise<void>;
  readonly home: string;
}

const readyMsMax = 60_000;
const probeIntervalMs = 50;
const stopMsMax = 10_000;
const backoffMsMin = 200;
const backoffMsMax = 10_000;
const logBytesMax = 16 * 1024 * 1024;

/**
 * A server of the embedded stack as a child process: started, waited for, started again when it dies, stopped. Its process id is kept in a file, so that one which outlived
 * a killed owner is found and stopped before its data are opened a second time.
 */
export class ServerProcess {
  readonly #spec: ServerSpec;
  readonly #logger: Logger;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #deaths = 0;
  #closed = false;

  constructor(spec: ServerSpec, logger: Logger) {
    this.#spec = spec;
    this.#logger = logger;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the server answers. @throws DependencyError `stack.start_failed` with the end of its log */
  async start(): Promise<void> {
    await stopOrphan(this.#spec);
    rotate(this.#logPath());
    const child = this.#spawn();
    const giveUpAt = performance.now() + readyMsMax;
    for (;;) {
      try {
        await this.#spec.probe();
        return;
      } catch (error) {
        if (child.exitCode !== null || child.signalCode !== null || performance.now() > giveUpAt) {
          await this.close();
          const tail = readFileSync(this.#logPath(), "utf8").trim().split("\n").slice(-5).join("\n  ");
          throw new DependencyError("stack.start_failed", `${this.#spec.name} does not start (${errorMessage(error)}):\n  ${tail}`, {
            hint: `Its log is ${this.#logPath()}.`,
          });
        }
        await new Promise((resolve) => setTimeout(resolve, probeIntervalMs));
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      child.kill(this.#spec.stopSignal);
      const timer = setTimeout(() => child.kill("SIGKILL"), stopMsMax);
      await exited;
      clearTimeout(timer);
    }
    rmSync(pidPath(this.#spec), { force: true });
  }

  #spawn(): ChildProcess {
    const { command, args, env, home, name } = this.#spec;
    const log = openSync(this.#logPath(), "a", 0o600);
    // In a process group of its own: Ctrl-C in the terminal is for the owner, which stops its servers in order.
    const child = spawn(command, [...args], { env, cwd: home, stdio: ["ignore", log, log], detached: true });
    closeSync(log);
    this.#child = child;
    if (child.pid !== undefined) writeFileSync(pidPath(this.#spec), String(child.pid));
    const startedAt = performance.now();
    child.on("error", (error) => this.#logger.error({ err: error, server: name }, "server.spawn_failed"));
    child.on("exit", (code, signal) => {
      if (this.#closed) return;
      // One that ran for a minute was well: the backoff begins anew.
      this.#deaths = performance.now() - startedAt > 60_000 ? 1 : this.#deaths + 1;
      const delayMs = Math.min(backoffMsMin * 2 ** (this.#deaths - 1), backoffMsMax);
      this.#logger.warn({ server: name, code, signal, delayMs }, "server.died");
      this.#restart = setTimeout(() => this.#spawn(), delayMs);
    });
    return child;
  }

  #logPath(): string {
    const folder = join(this.#spec.home, "logs");
    mkdirSync(folder, { recursive: true });
    return join(folder, `${this.#spec.name}.log`);
  }
}

function pidPath({ home, name }: ServerSpec): string {
  const folder = join(home, "run");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return join(folder, `${name}.pid`);
}

/** Ends a server that a killed owner left behind; only a process with the very command line of this spec counts as one. */
async function stopOrphan(spec: ServerSpec): Promise<void> {
  const path = pidPath(spec);
  if (!existsSync(path)) return;
  const pid = Number(readFileSync(path, "utf8"));
  const isOurs = (): boolean => {
    const line = commandLine(pid);
    return line.includes(spec.home) && spec.args.every((arg) => arg === "" || /^\d+$/.test(arg) || line.includes(arg));
  };
  const giveUpAt = performance.now() + stopMsMax;
  if (isOurs()) process.kill(pid, spec.stopSignal);
  while (isOurs()) {
    if (performance.now() > giveUpAt) process.kill(pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, probeIntervalMs));
  }
  rmSync(path, { force: true });
}

/** Empty where the process is gone, or where there is no procfs. */
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

/** One generation of old log is kept. */
function rotate(path: string): void {
  if (existsSync(path) && statSync(path).size > logBytesMax) renameSync(path, `${path}.old`);
}
