import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadConfig } from "@millrace/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";

/** A changed model is refused by name instead of finding nothing, and the way out leads back to the same hits. fp32 and int8 are two spaces. */
const command = fileURLToPath(new URL("../bin/millrace.js", import.meta.url));
let home: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-reembed-"));
  env = {
    ...process.env,
    MILLRACE_HOME: home,
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: "7491",
    MILLRACE_DASHBOARD_PORT: "7492",
  };
});

afterAll(async () => {
  await millrace("int8", "down");
  await rm(home, { recursive: true, force: true });
});

function millrace(dtype: "fp32" | "int8", ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], { env: { ...env, MILLRACE_MODEL_DTYPE: dtype } }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : 1, stdout, stderr });
    });
  });
}

async function sources(dtype: "fp32" | "int8"): Promise<string[]> {
  const { code, stdout, stderr } = await millrace(dtype, "search", "who keeps the light", "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return (JSON.parse(stdout) as { data: { source: string }[] }).data.map(({ source }) => source);
}

test("another model is refused by search, ingest and doctor, and re-embedding moves the project to it", async () => {
  const folder = await mkdtemp(join(home, "docs-"));
  await writeFile(join(folder, "keepers.md"), "# Lighthouses\n\nThe keeper trims the lamp at dusk.\n");
  await writeFile(join(folder, "stone.md"), "# Stone\n\nGranite is hard.\n");
  await writeFile(join(folder, "nothing.md"), "\n");
  expect((await millrace("fp32", "ingest", folder)).code).toBe(0);
  const before = await sources("fp32");
  expect(before).toEqual(["keepers.md", "stone.md"]);
  expect((await millrace("fp32", "down")).code).toBe(0);

  expect((await millrace("int8", "up", "--detach")).code).toBe(0);
  for (const args of [
    ["search", "who keeps the light"],
    ["ingest", folder],
  ]) {
    const { code, stderr } = await millrace("int8", ...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /all-MiniLM-L6-v2 fp32 \(\w+\).*all-MiniLM-L6-v2 int8 \(\w+\).*\[embed\.space_mismatch\]\n.*docs reembed --project default/s,
    );
  }
  const doctor = await millrace("int8", "doctor");
  expect(doctor.code).toBe(1);
  expect(doctor.stdout).toContain("[embed.space_mismatch]");

  await rm(folder, { recursive: true }); // the stored bytes are enough
  const { code, stdout } = await millrace("int8", "docs", "reembed", "--json");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ updated: 3, failed: 0, chunks: 2 });
  expect(await sources("int8")).toEqual(before);
  expect(JSON.parse((await millrace("int8", "docs", "reembed", "--json")).stdout)).toMatchObject({ updated: 0, unchanged: 3 });
  expect(await millrace("int8", "doctor")).toMatchObject({ code: 0 });
}, 180_000);
