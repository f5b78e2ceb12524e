import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

/** `rolldown.config.ts` names files of other packages: where a name no longer fits, the command works all the same, and starts slowly. */
test("BullMQ and ioredis are in the bundle, without what is left out of them", () => {
  const dist = fileURLToPath(new URL("../dist/", import.meta.url));
  const files = readdirSync(dist).filter((name) => name.endsWith(".js"));
  const code = files.map((name) => readFileSync(dist + name, "utf8")).join("\n");
  expect(code).not.toMatch(/createRequire\(import\.meta\.url\)\("(ioredis|bullmq)"\)/);
  expect(code).not.toMatch(/class (PostgresQueueBackend|CronExpressionParser)\b/);
});
