import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadConfig } from "@millrace/runtime";
import { freePort, startRedis } from "@millrace/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** The built command, as a person uses it: real servers, real processes. */
const command = fileURLToPath(new URL("../bin/millrace.js", import.meta.url));

let folder: string;
let environment: NodeJS.ProcessEnv;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-command-"));
  const { REDIS_QUEUE_URL, REDIS_CACHE_URL, MILVUS_ADDRESS, ...others } = process.env;
  environment = {
    ...others,
    MILLRACE_HOME: join(folder, "home"),
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: String(await freePort()),
    MILLRACE_DASHBOARD_PORT: String(await freePort()),
  };
});

afterAll(async () => {
  await millrace(["down"]);
  await rm(folder, { recursive: true, force: true });
});

describe("wrong usage ends with 2 and one clear sentence, before anything is started", () => {
  test.each([
    ["no path", ["ingest"], /missing required argument/],
    ["an unknown command", ["frobnicate"], /unknown command/],
    ["an unknown option", ["docs", "list", "--frob"], /unknown option/],
    ["a path that does not exist", ["ingest", "/nowhere/at/all"], /There is no \/nowhere\/at\/all/],
    ["a project with a slash", ["ingest", ".", "--project", "a/b"], /not a project name/],
    ["top_k 0", ["search", "x", "--top-k", "0"], /whole number from 1 to 200/],
    ["top_k of a million", ["search", "x", "--top-k", "1000000"], /whole number from 1 to 200/],
    ["a query of 100,000 characters", ["search", "x".repeat(100_000)], /100000 characters/],
    ["a filter that is not JSON", ["search", "x", "--filter", "{"], /not JSON/],
    ["one weight of two", ["search", "x", "--weights", "1"], /--weights.*two numbers/],
    ["a weight beyond 1", ["search", "x", "--weights", "1,7"], /weights needs two numbers from 0 to 1/],
    ["a fusion that is none", ["search", "x", "--fusion", "sums"], /--fusion.*scores, ranks/],
    ["a score beyond the mode's scale", ["search", "x", "--min-score", "7"], /min_score is 7, not a number from 0 to 1/],
    ["more than may be read around hits", ["search", "x", "--expand", "10", "-k", "200"], /more than the limit of 1000/],
    ["a state that is none", ["docs", "list", "--state", "lost"], /must be one of/],
    ["a retry of nothing", ["jobs", "retry"], /Which documents/],
    ["a key for nobody", ["keys", "create"], /--project or an --admin/],
  ])("%s", async (_, args, message) => {
    const { code, stdout, stderr } = await millrace(args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  test("a wrong variable", async () => {
    const { code, stderr } = await millrace(["status"], { MILLRACE_PORT: "x", MILLRACE_WORKERS: "0" });
    expect(stderr).toMatch(/MILLRACE_PORT[\s\S]*MILLRACE_WORKERS/);
    expect(code).toBe(2);
  });
});

describe("with nothing running", () => {
  test("status and down say so; what needs the stack fails with 1", async () => {
    expect(await millrace(["down"])).toMatchObject({ code: 0, stdout: expect.stringContaining("Nothing runs") });
    expect(await millrace(["status"])).toMatchObject({ code: 1 });
    expect(await millrace(["docs", "list"])).toMatchObject({ code: 1, stderr: expect.stringContaining("millrace up") });
  });

  test("a configured Redis or query service that does not answer is named", async () => {
    const down = { REDIS_QUEUE_URL: "redis://:secret@127.0.0.1:1", REDIS_CACHE_URL: "redis://127.0.0.1:1", MILVUS_ADDRESS: "127.0.0.1:1" };
    await writeFile(join(folder, "any.md"), "text");
    const ingest = await millrace(["ingest", join(folder, "any.md")], down);
    expect(ingest).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/queue Redis at redis:\/\/\*\*\*@127\.0\.0\.1:1 .*ECONNREFUSED/),
    });
    expect(await millrace(["search", "x"], down)).toMatchObject({ code: 1, stderr: expect.stringContaining("No query service answers") });
    expect(await millrace(["up"], down)).toMatchObject({ code: 1, stderr: expect.stringContaining("ECONNREFUSED") });
  });

  test("a queue Redis that evicts is refused, and one without workers is told of", async () => {
    const redis = await startRedis();
    const evicting = await startRedis({ args: ["--maxmemory-policy", "allkeys-lru"] });
    try {
      await writeFile(join(folder, "waits.md"), "text");
      const args = ["ingest", join(folder, "waits.md"), "--json"];
      expect(await millrace(args, { REDIS_QUEUE_URL: evicting.url })).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("noeviction"),
      });
      expect(await millrace(["up"], { REDIS_QUEUE_URL: evicting.url })).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("noeviction"),
      });

      const queued = await millrace([...args, "--no-wait"], { REDIS_QUEUE_URL: redis.url });
      expect(queued.code).toBe(0);
      expect(linesOf(queued.stdout)).toMatchObject([{ event: "summary", added: 1, failed: 0 }]);

      const { child, ended } = start(args, { REDIS_QUEUE_URL: redis.url });
      await saying(child, /No worker is connected/);
      child.kill("SIGINT");
      expect(await ended).toMatchObject({ code: 130, stderr: expect.stringContaining("in the background all the same") });
    } finally {
      await Promise.all([redis.stop(), evicting.stop()]);
    }
  });
});

describe("from a folder to answers", () => {
  let docs: string;

  beforeAll(async () => {
    docs = join(folder, "docs");
    await mkdir(join(docs, "sub"), { recursive: true });
    await writeFile(join(docs, "tides.md"), "# Tides\n\nThe moon pulls the sea, so the tide rises twice a day.\n");
    await writeFile(join(docs, "sub", "bread.txt"), "Bread dough rests for an hour before it is baked.");
    await writeFile(join(docs, "sub", "evil\u001b[31m.md"), "A name with an escape in it.");
    await writeFile(join(docs, "empty.md"), "");
    await writeFile(join(docs, "picture.png"), "no text");
  });

  test("the first ingest starts everything by itself and tells each document and a summary", async () => {
    const { code, stdout, stderr } = await millrace(["ingest", docs, "--json"]);
    expect(stderr).toContain("starting it in the background");
    const lines = linesOf(stdout);
    expect(lines.at(-1)).toMatchObject({
      event: "summary",
      added: 4,
      updated: 0,
      unchanged: 0,
      deleted: 0,
      failed: 0,
      empty: 1,
      skipped: 1,
    });
    expect(lines).toContainEqual({ event: "skipped", source: "picture.png", reason: "unsupported_type" });
    expect(lines.find((line) => line["source"] === "tides.md")).toMatchObject({
      event: "document",
      state: "live",
      outcome: "added",
      chunks: 1,
    });
    expect(code).toBe(0);
    // Another's key would do, so it is nobody else's to read.
    expect((await stat(join(folder, "home", "admin.key"))).mode & 0o077).toBe(0);
  });

  test("a second up is refused, status is well", async () => {
    expect(await millrace(["up"])).toMatchObject({ code: 1, stderr: expect.stringContaining("runs already") });
    const { code, stdout } = await millrace(["status", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ healthy: true, phase: "ready", workers: 1, documents: { default: { live: 3, empty: 1 } } });
    expect(code).toBe(0);
    expect((await millrace(["status"])).stdout).toMatch(/query .* well/);
  });

  test("search finds by meaning, and the second time in the cache", async () => {
    const first = await millrace(["search", "why does the ocean go up and down", "--top-k", "1"]);
    expect(first.stdout).toMatch(/^ 1\. +[01]\.\d+ +tides\.md · Tides/);
    expect(first.stdout).toContain("cache miss");
    const again = await millrace(["search", "why does the ocean go up and down", "--top-k", "1", "--json"]);
    expect(JSON.parse(again.stdout)).toMatchObject({ cache: "hit", data: [{ source: "tides.md" }] });
    const all = await millrace(["search", "a name with an escape"]);
    expect(all.stdout).not.toContain("\u001b");
  });

  test("tune says what there is to tune, which is nothing on Milvus Lite", async () => {
    expect(await millrace(["tune"])).toMatchObject({ code: 0, stdout: expect.stringMatching(/nothing to tune[\s\S]*MILVUS_ADDRESS/) });
    expect(await millrace(["tune", "--apply"])).toMatchObject({ code: 2, stderr: expect.stringContaining("store.index_fixed") });
    expect(await millrace(["tune", "--recall", "2"])).toMatchObject({ code: 2 });
  });

  test("usage tells what was searched, by project and day", async () => {
    await expect
      .poll(async () => (await millrace(["usage"])).stdout, { timeout: 5_000 })
      .toMatch(/^\d{4}-\d\d-\d\d +default +0 .* \d+ +\d+ %$/m);
    const { data } = JSON.parse((await millrace(["usage", "--project", "default", "--json"])).stdout) as {
      data: Record<string, unknown>[];
    };
    expect(data).toMatchObject([{ project: "default", questions: 0, searches: expect.any(Number), cost: null }]);
    expect(await millrace(["usage", "--days", "0"])).toMatchObject({ code: 2 });
  });

  test("search explains, groups, expands and cuts off", async () => {
    const { stdout } = await millrace(["search", "moon and sea", "-k", "1", "--explain", "--expand", "section"]);
    expect(stdout).toMatch(
      /tides\.md · Tides\n {6}Tides\n\n {6}The moon pulls the sea, so the tide rises twice a day\.\n {6}dense #1 0\.\d+ · keyword #1 \d+\.\d+\n/,
    );
    const grouped = await millrace(["search", "tide", "--group-by", "document", "--mode", "dense"]);
    expect(grouped.stdout).toContain("3 hits in 3 documents · dense");
    const none = await millrace(["search", "tide", "--mode", "dense", "--min-score", "0.999"]);
    expect(none).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Nothing found in project default with a score from 0\.999 on\./),
    });
    const filtered = await millrace(["search", "tide", "--filter", '{"type":"eq","key":"source","value":"sub/bread.txt"}', "--json"]);
    expect(JSON.parse(filtered.stdout)).toMatchObject({ data: [{ source: "sub/bread.txt", highlights: [] }] });
  });

  test("nothing changed is nothing to do; an edit is seen; a delete is final", async () => {
    expect(await summaryOf(["ingest", docs])).toMatchObject({ added: 0, updated: 0, unchanged: 4 });
    await writeFile(join(docs, "sub", "bread.txt"), "Glaciers grind valleys into the shape of a U.");
    expect(await summaryOf(["ingest", docs])).toMatchObject({ updated: 1, unchanged: 3 });
    expect((await millrace(["search", "how ice shapes the land", "-k", "1"])).stdout).toContain("sub/bread.txt");

    expect(await millrace(["docs", "delete", "sub/bread.txt"])).toMatchObject({ code: 0, stdout: "deleted sub/bread.txt\n" });
    expect((await millrace(["search", "how ice shapes the land"])).stdout).not.toContain("bread");
    expect(await millrace(["docs", "delete", "sub/bread.txt"])).toMatchObject({ code: 1 });
    expect((await millrace(["docs", "list"])).stdout).not.toContain("bread");
    expect(await millrace(["docs", "show", "sub/bread.txt"])).toMatchObject({ code: 2 });
  });

  test("failed documents are named and counted, listed, and can be tried again", async () => {
    await writeFile(join(docs, "broken.pdf"), "this is no PDF");
    const { code, stdout } = await millrace(["ingest", docs]);
    expect(stdout).toMatch(/Failed:\n {2}broken\.pdf: .* \[parse\./);
    expect(code).toBe(1);
    expect((await millrace(["jobs", "list"])).stdout).toMatch(/broken\.pdf +failed/);
    expect(await millrace(["jobs", "retry", "--class", "parse."])).toMatchObject({ code: 0, stdout: "1 documents queued again.\n" });
    expect(await millrace(["jobs", "retry", "tides.md"])).toMatchObject({ code: 1 });
  });

  test("a project key reads its own project only, and no more once revoked", async () => {
    const made = JSON.parse(
      (await millrace(["keys", "create", "--project", "default", "--scope", "read", "--label", "a reader", "--json"])).stdout,
    ) as {
      key: string;
      key_id: string;
    };
    const status = async (project: string): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${environment["MILLRACE_PORT"]}/v1/search`, {
        method: "POST",
        headers: { authorization: `Bearer ${made.key}`, "content-type": "application/json", "x-millrace-project": project },
        body: JSON.stringify({ query: "tides" }),
      });
      return response.status;
    };
    expect(await status("default")).toBe(200);
    expect(await status("another")).toBe(404);
    expect((await millrace(["keys", "list"])).stdout).toContain("a reader");
    expect(await millrace(["keys", "revoke", made.key_id])).toMatchObject({ code: 0 });
    await expect.poll(() => status("default"), { timeout: 5_000 }).toBe(401);
  });

  test("a worker that is killed is started again", async () => {
    const pid = await workerPid();
    process.kill(pid, "SIGKILL");
    await expect.poll(workerPid, { timeout: 20_000 }).not.toBe(pid);
    await writeFile(join(docs, "later.md"), "Written after the crash.");
    expect(await summaryOf(["ingest", join(docs, "later.md")])).toMatchObject({ added: 1 });
  });

  test.runIf(existsSync("/proc/self/cmdline"))("a worker's heap grows slowly, the query service's as it likes", async () => {
    const growsSlowly = async (name: string) =>
      (await readFile(`/proc/${await servicePid(name)}/cmdline`, "utf8")).includes("--heap-growing-percent=30");
    expect([await growsSlowly("worker-1"), await growsSlowly("query")]).toEqual([true, false]);
  });

  test.runIf(existsSync("/proc/self/autogroup"))(
    "a worker gives way to the processes of other sessions, where the system groups by session",
    async () => {
      const group = (await readFile(`/proc/${await workerPid()}/autogroup`, "utf8")).trim();
      if (group !== "") expect(group).toMatch(/ nice 10$/);
    },
  );

  test("down stops all of it, and up brings it back with what it held", async () => {
    expect(await millrace(["down"])).toMatchObject({ code: 0, stdout: "Stopped.\n" });
    expect(await millrace(["status"])).toMatchObject({ code: 1 });
    await expect(readFile(join(folder, "home", "run", "state.json"))).rejects.toMatchObject({ code: "ENOENT" });
    const up = await millrace(["up", "--detach"]);
    expect(up).toMatchObject({ code: 0, stdout: expect.stringContaining(join(folder, "home", "admin.key")) });
    expect((await millrace(["search", "why does the ocean go up and down", "-k", "1"])).stdout).toContain("tides.md");
  });
});

function start(args: readonly string[], variables: NodeJS.ProcessEnv = {}): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [command, ...args], { env: { ...environment, ...variables }, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (data: Buffer) => {
    stdout += data.toString();
  });
  child.stderr.on("data", (data: Buffer) => {
    stderr += data.toString();
  });
  return { child, ended: new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr }))) };
}

function millrace(args: readonly string[], variables?: NodeJS.ProcessEnv): Promise<Ended> {
  return start(args, variables).ended;
}

function saying(child: ChildProcess, pattern: RegExp): Promise<void> {
  let text = "";
  return new Promise((resolve, reject) => {
    child.once("close", () => reject(new Error(`it ended without saying ${pattern}: ${text}`)));
    child.stderr?.on("data", (data: Buffer) => {
      text += data.toString();
      if (pattern.test(text)) resolve();
    });
  });
}

function linesOf(stdout: string): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

async function summaryOf(args: readonly string[]): Promise<Record<string, unknown> | undefined> {
  const { code, stdout } = await millrace([...args, "--json"]);
  expect(code).toBe(0);
  return linesOf(stdout).at(-1);
}

async function servicePid(wanted: string): Promise<number> {
  const { services } = JSON.parse((await millrace(["status", "--json"])).stdout) as { services: { name: string; pid: number }[] };
  return services.find(({ name }) => name === wanted)?.pid ?? 0;
}

const workerPid = (): Promise<number> => servicePid("worker-1");
