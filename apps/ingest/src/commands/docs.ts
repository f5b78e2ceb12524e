import { InvalidInputError, parseProjectName } from "@millrace/core";
import { type DocumentState, documentJson } from "@millrace/ledger";
import { loadConfig } from "@millrace/runtime";
import type { Command } from "commander";
import { findDocument, listDocuments } from "../document-lookup.ts";
import { documentState, integerBetween } from "../option-values.ts";
import { withSession } from "../session.ts";
import { bytesText, note, print, printable, printJson, table } from "../terminal.ts";
import { addReembedCommand } from "./reembed.ts";

interface ProjectOption {
  readonly project: string;
}

interface ListOptions extends ProjectOption {
  readonly state?: DocumentState;
  readonly prefix?: string;
  readonly limit: number;
  readonly json: boolean;
}

export function addDocsCommands(program: Command): void {
  const docs = program.command("docs").description("The documents of a project.");
  docs
    .command("list")
    .description("List documents by name.")
    .option("-p, --project <slug>", "project", "default")
    .option("--state <state>", "only those in this state", documentState)
    .option("--prefix <text>", "only those whose name begins so")
    .option("--limit <count>", "documents at most", integerBetween(1, 1_000_000), 100)
    .option("--json", "one JSON object per line", false)
    .action(list);
  docs
    .command("show")
    .description("Everything known about one document, as JSON.")
    .argument("<document>", "its name or id")
    .option("-p, --project <slug>", "project", "default")
    .action(show);
  docs
    .command("delete")
    .description("Delete documents: no search returns them from then on.")
    .argument("<documents...>", "names or ids")
    .option("-p, --project <slug>", "project", "default")
    .action(async (names: string[], options: ProjectOption) => {
      process.exitCode = await remove(names, options);
    });
  addReembedCommand(docs);
}

async function list({ project, state, prefix, limit, json }: ListOptions): Promise<void> {
  const only = { ...(state === undefined ? {} : { state }), ...(prefix === undefined ? {} : { sourcePrefix: prefix.normalize("NFC") }) };
  await withSession(loadConfig(), async ({ ledger }) => {
    const rows: (string | number)[][] = [];
    let more = false;
    for await (const entry of listDocuments(ledger, parseProjectName(project), only)) {
      if (rows.length === limit) {
        more = true;
        break;
      }
      rows.push([entry.source, entry.state, entry.liveChunks, bytesText(entry.bytes), entry.documentId]);
      if (json) printJson(documentJson(entry, { withOrigin: true }));
    }
    if (json) return;
    if (rows.length === 0) print("No documents.");
    else print(table(["source", "state", "chunks", "size", "id"], rows));
    if (more) note(`Only the first ${limit}; --limit shows more.`);
  });
}

async function show(name: string, options: ProjectOption): Promise<void> {
  const project = parseProjectName(options.project);
  await withSession(loadConfig(), async ({ ledger }) => {
    const entry = await findDocument(ledger, project, name);
    if (entry === undefined) throw notFound(name, project);
    printJson(documentJson(entry, { withOrigin: true }), 2);
  });
}

/** Goes on after a name that is unknown, and answers with the exit code. */
async function remove(names: readonly string[], options: ProjectOption): Promise<number> {
  const project = parseProjectName(options.project);
  return withSession(loadConfig(), async ({ ledger, producer }) => {
    let unknown = 0;
    for (const name of names) {
      const entry = await findDocument(ledger, project, name);
      if (entry !== undefined && (await ledger.remove(project, entry.documentId))) print(`deleted ${printable(entry.source)}`);
      else {
        unknown++;
        note(`millrace: ${notFound(name, project).message}`);
      }
    }
    // Nothing returns them any more; the job only gives their rows back.
    await producer.addCollection(project);
    return unknown === 0 ? 0 : 1;
  });
}

function notFound(name: string, project: string): InvalidInputError {
  return new InvalidInputError("document.not_found", `There is no document "${printable(name)}" in project ${project}`, {
    hint: "`millrace docs list` shows what there is; --project names another project.",
  });
}
