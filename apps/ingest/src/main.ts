import { ApiError } from "@millrace/client";
import { ConfigError, errorMessage, InvalidInputError, isMillraceError } from "@millrace/core";
import { loadConfig } from "@millrace/runtime";
import { Command, CommanderError } from "commander";
import { addAskCommand } from "./commands/ask.ts";
import { addDocsCommands } from "./commands/docs.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addDownCommand } from "./commands/down.ts";
import { addEvalCommand } from "./commands/eval.ts";
import { addIngestCommand } from "./commands/ingest.ts";
import { addJobsCommands } from "./commands/jobs.ts";
import { addKeysCommands } from "./commands/keys.ts";
import { addMcpCommand } from "./commands/mcp.ts";
import { addResumeCommand } from "./commands/resume.ts";
import { addSearchCommand } from "./commands/search.ts";
import { addStatusCommand } from "./commands/status.ts";
import { addTuneCommand } from "./commands/tune.ts";
import { addUpCommand } from "./commands/up.ts";
import { addUsageCommand } from "./commands/usage.ts";
import { note, printable } from "./terminal.ts";

const program = new Command("millrace")
  .description("Turns a folder of documents into a searchable index and keeps it true.")
  .showHelpAfterError("Add --help for what is possible.")
  .exitOverride();
for (const add of [
  addUpCommand,
  addDownCommand,
  addStatusCommand,
  addIngestCommand,
  addSearchCommand,
  addAskCommand,
  addEvalCommand,
  addDocsCommands,
  addJobsCommands,
  addResumeCommand,
  addDoctorCommand,
  addTuneCommand,
  addKeysCommands,
  addUsageCommand,
  addMcpCommand,
]) {
  add(program);
}

// `millrace docs list | head`: a reader that goes away is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Says what is wrong and answers with the exit code: 2 for wrong usage or configuration, 1 for everything else. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  const known = isMillraceError(error) ? error : undefined;
  note(`millrace: ${errorMessage(error).split("\n").map(printable).join("\n  ")}${known === undefined ? "" : ` [${known.code}]`}`);
  if (known?.hint !== undefined) note(printable(known.hint));
  if (wantsStack() && error instanceof Error) note(String(error.stack));
  const isWrongUse = error instanceof ApiError ? [400, 404, 413, 415, 422].includes(error.status) : error instanceof InvalidInputError;
  return isWrongUse || error instanceof ConfigError ? 2 : 1;
}

function wantsStack(): boolean {
  try {
    return ["debug", "trace"].includes(loadConfig().logLevel);
  } catch {
    return false; // the configuration is what was wrong
  }
}
