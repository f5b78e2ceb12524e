import { InvalidInputError, parseProjectName } from "@millrace/core";
import { ApiKeys, type Scope } from "@millrace/ledger";
import { loadConfig, newApiKeyText } from "@millrace/runtime";
import { type Command, Option } from "commander";
import { withSession } from "../session.ts";
import { note, print, printJson, table } from "../terminal.ts";

interface CreateOptions {
  readonly project?: string;
  readonly scope: readonly Scope[];
  readonly admin: boolean;
  readonly label: string;
  readonly json: boolean;
}

export function addKeysCommands(program: Command): void {
  const keys = program.command("keys").description("API keys of the query service.");
  keys
    .command("create")
    .description("Make a key. It is shown once and kept nowhere.")
    .option("-p, --project <slug>", "the only project it is for")
    .addOption(new Option("--scope <scopes...>", "what it may do").choices(["read", "ingest"]).default(["read"]))
    .option("--admin", "for every project", false)
    .option("--label <text>", "what it is for, to know it again", "")
    .option("--json", "as JSON", false)
    .action(create);
  keys.command("list").description("List keys, without their secrets.").option("--json", "one JSON object per line", false).action(list);
  keys
    .command("revoke")
    .description("Make a key worthless, within a second.")
    .argument("<id>", "its id, as `keys list` shows it")
    .action(async (keyId: string) => {
      process.exitCode = await revoke(keyId);
    });
}

async function create({ project, scope, admin, label, json }: CreateOptions): Promise<void> {
  if (admin === (project !== undefined)) {
    throw new InvalidInputError("usage", "A key is either for one --project or an --admin key");
  }
  const options = {
    scopes: admin ? (["read", "ingest"] as const) : scope,
    label,
    ...(project === undefined ? {} : { project: parseProjectName(project) }),
  };
  const key = newApiKeyText();
  const keyId = await withSession(loadConfig(), ({ redis }) => new ApiKeys(redis).register(key, options));
  if (json) return printJson({ key_id: keyId, key, project: project ?? null, scopes: options.scopes });
  print(key);
  note(
    `Id ${keyId}, ${admin ? "every project" : `project ${project}`}, scopes ${options.scopes.join(" and ")}. Keep it now: it is not shown again.`,
  );
}

async function list({ json }: { json: boolean }): Promise<void> {
  const keys = await withSession(loadConfig(), ({ redis }) => new ApiKeys(redis).list());
  if (json) {
    for (const { keyId, project, scopes, label, createdAt } of keys) {
      printJson({ key_id: keyId, project: project ?? null, scopes, label, created_at: new Date(createdAt).toISOString() });
    }
    return;
  }
  const rows = keys.map(({ keyId, project, scopes, label, createdAt }) => [
    keyId,
    project ?? "(every project)",
    scopes.join(" "),
    label,
    new Date(createdAt).toISOString().slice(0, 16),
  ]);
  print(rows.length === 0 ? "No keys." : table(["id", "project", "scopes", "label", "created"], rows));
}

/** Answers with the exit code. */
async function revoke(keyId: string): Promise<number> {
  const existed = await withSession(loadConfig(), ({ redis }) => new ApiKeys(redis).revoke(keyId));
  if (existed) print(`revoked ${keyId}`);
  else note(`millrace: there is no key ${keyId}`);
  return existed ? 0 : 1;
}
