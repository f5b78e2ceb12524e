import { InvalidInputError, limits } from "@millrace/core";
import type { PriceConfig } from "@millrace/runtime";
import type { Hono } from "hono";
import { type Env, requireScope } from "../authenticate.ts";
import { dayOf, daysBetween, noUsage, type UsageAmounts, type UsageCounters } from "./usage-counters.ts";

type Json = Readonly<Record<string, unknown>>;

const dayMs = 86_400_000;
const daysDefault = 30;

/** `GET /v1/usage?from=2026-11-01&to=2026-11-30`: a project's key sees its project, an admin's all of them, or the one of `X-Millrace-Project`. */
export function addUsageRoute(app: Hono<Env>, usage: UsageCounters, price: PriceConfig | undefined): void {
  app.get("/v1/usage", async (context) => {
    const principal = context.get("principal");
    requireScope(principal, "read");
    const isOfAll = principal.project === undefined && context.req.header("x-millrace-project") === undefined;
    const { to = dayOf(Date.now()), from = dayOf(dayFrom("to", to) - (daysDefault - 1) * dayMs) } = context.req.query();
    const days = (dayFrom("to", to) - dayFrom("from", from)) / dayMs + 1;
    if (days < 1 || days > limits.usageDaysMax)
      throw new InvalidInputError("usage.range", `\`from\` to \`to\` are 1 to ${limits.usageDaysMax} days`);
    const found = await usage.read(isOfAll ? undefined : context.get("project"), daysBetween(from, to));
    const total = found.reduce((sum, { amounts }) => added(sum, amounts), noUsage);
    return context.json({
      object: "usage",
      from,
      to,
      data: found.map(({ project, day, amounts }) => ({ object: "usage.day", project, day, ...usageJson(amounts, price) })),
      total: usageJson(total, price),
    });
  });
}

/** Costs are estimates by today's prices; null where none are configured. */
function usageJson(amounts: UsageAmounts, price: PriceConfig | undefined): Json {
  const costOf = (promptTokens: number, completionTokens: number): number | null =>
    price === undefined ? null : (promptTokens * price.promptPerMillion + completionTokens * price.completionPerMillion) / 1_000_000;
  return {
    ...amounts,
    cached_share: amounts.questions === 0 ? 0 : amounts.cached / amounts.questions,
    cost: costOf(amounts.prompt_tokens, amounts.completion_tokens),
    saved_cost: costOf(amounts.saved_prompt_tokens, amounts.saved_completion_tokens),
  };
}

function added(a: UsageAmounts, b: UsageAmounts): UsageAmounts {
  return Object.fromEntries(Object.entries(a).map(([field, amount]) => [field, amount + b[field as keyof UsageAmounts]])) as UsageAmounts;
}

function dayFrom(name: string, text: string): number {
  const time = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time) || dayOf(time) !== text)
    throw new InvalidInputError("usage.day", `\`${name}\` is no day`, { hint: "Write it as 2026-11-25; days are those of UTC." });
  return time;
}
