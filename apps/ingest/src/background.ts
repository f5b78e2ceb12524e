import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DependencyError } from "@millrace/core";
import type { Config } from "@millrace/runtime";
import { type RunState, readRunState } from "@millrace/stack";
import { isQueryServiceReady } from "./query-client.ts";
import { note } from "./terminal.ts";

const readyMsMax = 120_000;
const pollMs = 100;

/**
 * Starts `millrace up` as a process of its own and waits until the query service answers. Where one is starting already, waits for that.
 * @throws DependencyError `up.failed` with the end of the log
 */
export async function startInBackground(config: Config): Promise<RunState> {
  const running = await readRunState(config.home);
  if (running === undefined) note(`Nothing runs on ${config.home} yet: starting it in the background (\`millrace down\` stops it) …`);
  const up = running === undefined ? spawnUp(config) : undefined;
  const giveUpAt = performance.now() + readyMsMax;
  while (performance.now() < giveUpAt) {
    const state = await readRunState(config.home);
    if (state?.phase === "ready" && state.queryUrl !== undefined && (await isQueryServiceReady(state.queryUrl))) {
      // Its own handle would keep this process alive.
      up?.child.unref();
      return state;
    }
    // Gone without another having taken the home, which happens when two start at once.
    if (state === undefined && (up === undefined || up.child.exitCode !== null || up.child.signalCode !== null)) break;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  up?.child.unref();
  const why =
    up === undefined || up.child.exitCode === null ? `not ready after ${readyMsMax / 1_000} s` : `it ended with code ${up.child.exitCode}`;
  const tail = up === undefined ? "" : `\n${await tailOf(up.logPath, up.logStart)}`;
  throw new DependencyError("up.failed", `Millrace could not be started: ${why}${tail}`, {
    hint: `All of its logs are in ${logFolder(config)}; \`millrace up\` shows it in the foreground.`,
  });
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
