import type { UsageAmounts } from "@millrace/client";
import { parseProjectName } from "@millrace/core";
import { loadConfig } from "@millrace/runtime";
import type { Command } from "commander";
import { integerBetween } from "../option-values.ts";
import { openQueryService } from "../query-service.ts";
import { print, printJson, table } from "../terminal.ts";

interface UsageOptions {
  readonly project?: string;
  readonly days: number;
  readonly json: boolean;
}

const dayMs = 86_400_000;

export function addUsageCommand(program: Command): void {
  program
    .command("usage")
    .description("What was asked and searched, and the tokens and costs of it, by project and day (UTC).")
    .option("-p, --project <slug>", "only this project")
    .option("--days <count>", "the last so many", integerBetween(1, 366), 30)
    .option("--json", "the answer of the query service as it is", false)
    .action(runUsage);
}

async function runUsage({ project, days, json }: UsageOptions): Promise<void> {
  const only = project === undefined ? undefined : parseProjectName(project);
  const from = new Date(Date.now() - (days - 1) * dayMs).toISOString().slice(0, 10);
  const client = await openQueryService(loadConfig(), only);
  const reply = await client.usage({ from });
  if (json) return printJson(reply);
  if (reply.data.length === 0) return print("Nothing was asked or searched.");
  const header = ["day", "project", "questions", "cached", "tokens", "saved", "cost", "saved cost", "searches", "cached"];
  const rows = reply.data.map((each) => [each.day, each.project, ...cells(each)]);
  print(table(header, [...rows, ["total", "", ...cells(reply.total)]]));
}

function cells(amounts: UsageAmounts): (string | number)[] {
  const { questions, cached, searches } = amounts;
  const money = (amount: number | null): string => amount?.toFixed(2) ?? "-";
  return [
    ...[questions, share(cached, questions), amounts.prompt_tokens + amounts.completion_tokens],
    ...[amounts.saved_prompt_tokens + amounts.saved_completion_tokens, money(amounts.cost), money(amounts.saved_cost)],
    ...[searches, share(amounts.searches_cached, searches)],
  ];
}

function share(part: number, whole: number): string {
  return whole === 0 ? "-" : `${Math.round((part / whole) * 100)} %`;
}
