import type { Command } from "commander";

export function addKeysCommands(program: Command): void {
  program.command("keys").description("API keys.");
}
