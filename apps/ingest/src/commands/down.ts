import { MillraceError } from "@millrace/core";
import { loadConfig } from "@millrace/runtime";
import { readRunState } from "@millrace/stack";
import type { Command } from "commander";
import { print } from "../terminal.ts";

const stopMsMax = 60_000;
const pollMs = 100;

export function addDownCommand(program: Command): void {
  program.command("down").description("Stop what `millrace up` started on this home.").action(down);
}

async function down(): Promise<void> {
  const { home } = loadConfig();
  const running = await readRunState(home);
  if (running === undefined) return print(`Nothing runs on ${home}.`);
  process.kill(running.pid, "SIGTERM");
  const giveUpAt = performance.now() + stopMsMax;
  while ((await readRunState(home))?.pid === running.pid) {
    if (performance.now() > giveUpAt) {
      throw new MillraceError("down.timeout", `Process ${running.pid} has not ended after ${stopMsMax / 1_000} s`, false, {
        hint: `A second signal ends it at once: kill ${running.pid}`,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  print("Stopped.");
}
