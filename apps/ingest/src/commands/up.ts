import { join } from "node:path";
import { createLogger, loadConfig, loadOrCreateAdminKey } from "@millrace/runtime";
import type { RunState } from "@millrace/stack";
import type { Command } from "commander";
import { startInBackground } from "../background.ts";
import { Installation } from "../installation.ts";
import { print, withoutPassword } from "../terminal.ts";

export function addUpCommand(program: Command): void {
  program
    .command("up")
    .description("Start the stack, the workers, the query service and the dashboard, and keep them running until Ctrl-C.")
    .option("-d, --detach", "in the background; ends when everything answers", false)
    .action((options: { detach: boolean }) => (options.detach ? upInBackground() : upInForeground()));
}

async function upInBackground(): Promise<void> {
  const config = loadConfig();
  printAddresses(await startInBackground(config), config.home);
  print("It runs in the background. `millrace status` shows it, `millrace down` stops it.");
}

/** Ends by a signal, which stops everything in order. */
async function upInForeground(): Promise<void> {
  const config = loadConfig();
  await loadOrCreateAdminKey(config.home);
  const installation = new Installation(config, createLogger("up", config.logLevel));
  const state = await installation.start();
  printAddresses(state, config.home);
  print("Ctrl-C stops it.");
}

function printAddresses(state: RunState, home: string): void {
  print(`query service   ${state.queryUrl ?? ""}`);
  print(`dashboard       ${state.dashboardUrl ?? ""}`);
  print(`queue Redis     ${withoutPassword(state.redisQueueUrl ?? "")}`);
  print(`cache Redis     ${withoutPassword(state.redisCacheUrl ?? "")}`);
  print(`Milvus          ${state.milvusAddress ?? ""}`);
  print(`admin key       ${join(home, "admin.key")}`);
  print(`logs            ${join(home, "logs")}`);
}
