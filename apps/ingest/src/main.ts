import { ApiError } from "@millrace/client";
import { ConfigError, errorMessage, InvalidInputError, isMillraceError } from "@millrace/core";
import { loadConfig } from "@millrace/runtime";
import { Command, CommanderError } from "commander";
import { note, printable } from "./terminal.ts";

const program = new Command("millrace")
  .description("Turns a folder of documents into a searchable index and keeps it true.")
  .showHelpAfterError("Add --help for what is possible.")
  .exitOverride();

/** Loaded when it is wanted: a command needs little of what all of them load. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  up: async () => (await import("./commands/up.ts")).addUpCommand,
  down: async () => (await import("./commands/down.ts")).addDownCommand,
  status: async () => (await import("./commands/status.ts")).addStatusCommand,
  ingest: async () => (await import("./commands/ingest.ts")).addIngestCommand,
  search: async () => (await import("./commands/search.ts")).addSearchCommand,
  ask: async () => (await import("./commands/ask.ts")).addAskCommand,
  eval: async () => (await import("./commands/eval.ts")).addEvalCommand,
  docs: async () => (await import("./commands/docs.ts")).addDocsCommands,
  jobs: async () => (await import("./commands/jobs.ts")).addJobsCommands,
  resume: async () => (await import("./commands/resume.ts")).addResumeCommand,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctorCommand,
  tune: async () => (await import("./commands/tune.ts")).addTuneCommand,
  keys: async () => (await import("./commands/keys.ts")).addKeysCommands,
  usage: async () => (await import("./commands/usage.ts")).addUsageCommand,
  mcp: async () => (await import("./commands/mcp.ts")).addMcpCommand,
};
const named = commands[process.argv[2] ?? ""];
for (const load of named === undefined ? Object.values(commands) : [named]) (await load())(program);

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
  const isWrongUse = error instanceof ApiError ? [400, 404, 409, 413, 415, 422].includes(error.status) : error instanceof InvalidInputError;
  return isWrongUse || error instanceof ConfigError ? 2 : 1;
}

function wantsStack(): boolean {
  try {
    return ["debug", "trace"].includes(loadConfig().logLevel);
  } catch {
    return false; // the configuration is what was wrong
  }
}
