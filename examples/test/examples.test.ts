import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { loadConfig } from "@millrace/runtime";
import { freePort } from "@millrace/testing";
import { afterAll, beforeAll, expect, test } from "vitest";

/** The examples as the README says to run them, on the whole system, with a key of one project. */
const run = promisify(execFile);
const command = fileURLToPath(new URL("../../apps/ingest/bin/millrace.js", import.meta.url));
const example = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
const question = 'What pulls the "water" of the oceans?';
let folder: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-examples-"));
  const port = String(await freePort());
  env = {
    ...process.env,
    MILLRACE_HOME: join(folder, "home"),
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: port,
    MILLRACE_DASHBOARD_PORT: String(await freePort()),
    MILLRACE_URL: `http://127.0.0.1:${port}`,
  };
  await mkdir(join(folder, "docs"));
  await writeFile(join(folder, "docs", "tides.md"), "# Tides\n\nThe moon pulls the water of the oceans. Tides rise twice a day.\n");
  await writeFile(join(folder, "docs", "bread.md"), "# Bread\n\nLet the dough rest before baking.\n");
  await run(process.execPath, [command, "ingest", join(folder, "docs"), "--project", "notes"], { env });
  const { stdout } = await run(process.execPath, [command, "keys", "create", "--project", "notes"], { env });
  env["MILLRACE_API_KEY"] = stdout.trim();
}, 180_000);
afterAll(async () => {
  await run(process.execPath, [command, "down"], { env });
  await rm(folder, { recursive: true, force: true });
});

const answer = "The moon pulls the water of the oceans. [1]";
/** Hits with their scores, the answer, its citations. */
const shown =
  /^\d\.\d{3} {2}tides\.md {2}.*The moon pulls.*\n[\s\S]*\n\nThe moon pulls the water of the oceans\. \[1\][\s\S]*\n\[1\] tides\.md: The moon pulls/;

test("TypeScript", async () => {
  expect((await run(process.execPath, [example("dist/search-and-ask.js"), question], { env })).stdout).toMatch(shown);
  expect((await run(process.execPath, [example("dist/openai-chat.js"), question], { env })).stdout).toContain(answer);
});

test("Python", async () => {
  expect((await run("python3", [example("search_and_ask.py"), question], { env })).stdout).toMatch(shown);
});

test("curl", async () => {
  const { stdout } = await run("sh", [example("search-and-ask.sh"), question], { env });
  const [results = "", ...events] = stdout.split("\n");
  expect(JSON.parse(results)).toMatchObject({ object: "search_results", data: [{ source: "tides.md" }, { source: "bread.md" }] });
  expect(events.filter((line) => line.startsWith("event: ")).at(-1)).toBe("event: done");
  expect(stdout).toContain(`"answer":"${answer}`);
});

test("a wrong key ends each of them with an error", async () => {
  const wrong = { env: { ...env, MILLRACE_API_KEY: "mr_wrong" } };
  for (const [program, args] of [
    [process.execPath, [example("dist/search-and-ask.js"), question]],
    ["python3", [example("search_and_ask.py"), question]],
    ["sh", [example("search-and-ask.sh"), question]],
  ] as const) {
    await expect(run(program, [...args], wrong)).rejects.toMatchObject({ code: expect.any(Number) });
  }
});
