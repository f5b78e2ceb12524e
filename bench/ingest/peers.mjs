import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../report/results.mjs";

/** Installs `bench/peers` from its lockfile, unless that is done. Needs the npm registry the first time. */
export async function installPeers() {
  const folder = join(root, "bench", "peers");
  const lock = readFileSync(join(folder, "package-lock.json"), "utf8");
  const stamp = join(folder, "node_modules", ".bench-stamp");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  console.error("installing the peers …");
  // Without the many optional peers of LangChain's community package.
  const { status, stderr } = spawnSync("npm", ["ci", "--legacy-peer-deps", "--omit=peer"], { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`npm ci in bench/peers failed; --no-peers runs without them:\n${stderr.slice(-2_000)}`);
  writeFileSync(stamp, lock);
}
