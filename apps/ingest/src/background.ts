import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isServiceReady } from "@millrace/client";
import { ConfigError, DependencyError, limits, type MillraceError } from "@millrace/core";
import type { Config } from "@millrace/runtime";
import { type RunState, readRunState } from "@millrace/stack";
import { note } from "./terminal.ts";

const readyMsMax = 120_000;
const pollMs = 100;

/**
 * Starts `millrace up` as a process of its own and waits until the query service answers. Where one is starting already, waits for that.
 * @throws DependencyError `up.failed` | ConfigError `up.misconfigured`, with the end of the log
 */
export async function startInBackground(config: Config): Promise<RunState> {
  let up: ReturnType<typeof spawnUp> | undefined;
  const giveUpAt = performance.now() + readyWithinMs(config);
  while (performance.now() < giveUpAt) {
    const state = await readRunState(config.home);
    if (state?.phase === "ready" && state.queryUrl !== undefined && (await isServiceReady(state.queryUrl))) return state;
    if (state === undefined && up === undefined) {
      note(`Nothing runs on ${config.home} yet: starting it in the background (\`millrace down\` stops it) …`);
      if (mayDownload(config)) note(`The model ${config.embedder?.model ?? ""} is downloaded first where it is not there yet.`);
      up = spawnUp(config);
    }
    // It ends without an error where another was a moment faster: then that one's state is there.
    if (state === undefined && up !== undefined && (up.child.exitCode !== null || up.child.signalCode !== null)) break;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  throw await startFailure(config, up);
}

function mayDownload({ embedder }: Config): boolean {
  return embedder?.kind === "transformers" && embedder.remote;
}

function readyWithinMs(config: Config): number {
  return readyMsMax + (mayDownload(config) ? limits.modelDownloadMs : 0);
}

async function startFailure(config: Config, up: ReturnType<typeof spawnUp> | undefined): Promise<MillraceError> {
  const code = up?.child.exitCode ?? null;
  const why = code === null ? `not ready after ${readyWithinMs(config) / 1_000} s` : `it ended with code ${code}`;
  const tail = up === undefined ? "" : `\n${await tailOf(up.logPath, up.logStart)}`;
  const hint = `All of its logs are in ${logFolder(config)}; \`millrace up\` shows it in the foreground.`;
  const message = `Millrace could not be started: ${why}${tail}`;
  return code === 2 ? new ConfigError("up.misconfigured", message, { hint }) : new DependencyError("up.failed", message, { hint });
}

export function logFolder(config: Config): string {
  return join(config.home, "logs");
}

function spawnUp(config: Config): { child: ReturnType<typeof spawn>; logPath: string; logStart: number } {
  mkdirSync(logFolder(config), { recursive: true });
  const logPath = join(logFolder(config), "up.log");
  const log = openSync(logPath, "a", 0o600);
  const logStart = statSync(logPath).size;
  const command = fileURLToPath(new URL("../dist/main.js", import.meta.url));
  const child = spawn(process.execPath, [command, "up"], { detached: true, stdio: ["ignore", log, log] });
  closeSync(log);
  child.unref(); // it goes on when this process ends
  return { child, logPath, logStart };
}

async function tailOf(path: string, from: number): Promise<string> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64 * 1024), 0, 64 * 1024, from);
    return buffer.subarray(0, bytesRead).toString().trimEnd().split("\n").slice(-12).join("\n");
  } finally {
    await file.close();
  }
}
