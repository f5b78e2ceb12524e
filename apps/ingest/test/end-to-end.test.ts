import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadConfig } from "@millrace/runtime";
import { freePort } from "@millrace/testing";
import { PDFDocument, StandardFonts } from "pdf-lib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** The whole system as its users meet it: the built command, its own embedded stack, a real model, real files. */
const command = fileURLToPath(new URL("../bin/millrace.js", import.meta.url));
let folder: string;
let docs: string;
let env: NodeJS.ProcessEnv;

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function millrace(...args: string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], { env, cwd: folder, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

async function ingest(...args: string[]): Promise<{ code: number; events: Record<string, unknown>[]; summary: Record<string, unknown> }> {
  const { code, stdout, stderr } = await millrace("ingest", ...args, "--project", "e2e", "--json");
  const events = stdout
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const summary = events.at(-1);
  if (summary?.["event"] !== "summary") throw new Error(`no summary, exit ${code}:\n${stdout}\n${stderr}`);
  return { code, events, summary };
}

async function post(
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Record<string, unknown> & { data: Record<string, unknown>[] }; type: string }> {
  const key = (await readFile(join(folder, "home", "admin.key"), "utf8")).trim();
  const response = await fetch(`http://127.0.0.1:${env["MILLRACE_PORT"]}/v1/search`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", "x-millrace-project": "e2e", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as never, type: response.headers.get("content-type") ?? "" };
}

async function writePdf(path: string, pages: readonly string[]): Promise<void> {
  const pdf = await PDFDocument.create();
  const font = await pdf.embedFont(StandardFonts.Helvetica);
  for (const text of pages) pdf.addPage([400, 400]).drawText(text, { x: 20, y: 350, size: 10, font });
  await writeFile(path, await pdf.save());
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-e2e-"));
  docs = join(folder, "docs");
  await mkdir(join(docs, "deep"), { recursive: true });
  env = {
    PATH: process.env["PATH"],
    HOME: folder,
    MILLRACE_HOME: join(folder, "home"),
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: String(await freePort()),
    MILLRACE_DASHBOARD_PORT: String(await freePort()),
  };
  await writeFile(
    join(docs, "bees.md"),
    "---\ntitle: Bees\nauthor: Ada\n---\n# Bees\n\nHoney bees dance to tell each other where the flowers are.\n",
  );
  await writeFile(join(docs, "deep", "tides.txt"), "The moon pulls the water of the oceans, and so the tides rise and fall twice a day.\n");
  await writeFile(
    join(docs, "bread.html"),
    "<html><head><title>Bread</title><script>alert(1)</script></head><body><h1>Sourdough</h1><p>Let the dough rest overnight before baking.</p></body></html>",
  );
  await writePdf(join(docs, "rocks.pdf"), [
    "Granite forms when magma cools slowly below ground.",
    "Sandstone is made of grains pressed together.",
  ]);
}, 120_000);

afterAll(async () => {
  await millrace("down");
  await rm(folder, { recursive: true, force: true });
}, 60_000);

describe("the millrace command, end to end", () => {
  it("starts its stack by itself and makes a folder searchable", async () => {
    const { code, summary } = await ingest(docs);
    expect(summary).toMatchObject({ added: 4, updated: 0, unchanged: 0, failed: 0 });
    expect(summary["chunks"]).toBeGreaterThanOrEqual(4);
    expect(code).toBe(0);
    expect(((await stat(join(folder, "home", "admin.key"))).mode & 0o777).toString(8)).toBe("600");
  }, 120_000);

  it("finds the right document, page and headings, and answers the second time from the cache", async () => {
    const question = { query: "how do insects share where nectar is", top_k: 2 };
    const first = await post(question);
    expect(first).toMatchObject({ status: 200, body: { object: "search_results", cache: "miss" } });
    expect(first.body.data[0]).toMatchObject({
      source: "bees.md",
      headings: ["Bees"],
      page: null,
      title: "Bees",
      metadata: { author: "Ada" },
    });
    const second = await post(question);
    expect(second.body).toMatchObject({ cache: "hit" });
    expect(second.body.data).toEqual(first.body.data);
    expect((await post({ query: "rock from pressed sand", top_k: 1 })).body.data[0]).toMatchObject({ source: "rocks.pdf", page: 2 });
    expect((await post({ query: "baking", top_k: 1 })).body.data[0]).toMatchObject({ source: "bread.html", headings: ["Sourdough"] });
    const shown = await millrace("search", "when is high water", "--project", "e2e", "--top-k", "1");
    expect(shown.stdout).toContain("deep/tides.txt");
  });

  it("finds nothing to do when nothing changed", async () => {
    const { code, summary } = await ingest(docs);
    expect(summary).toMatchObject({ added: 0, updated: 0, unchanged: 4, failed: 0, chunks: 0 });
    expect(code).toBe(0);
  });

  it("replaces an edited file: the new text is found at once, the old one never again", async () => {
    await post({ query: "flowers dance", top_k: 10 });
    await writeFile(join(docs, "bees.md"), "# Bees\n\nBumblebees shiver to keep their nest warm in winter.\n");
    expect((await ingest(docs)).summary).toMatchObject({ updated: 1, unchanged: 3 });
    const { body } = await post({ query: "flowers dance", top_k: 10 });
    expect(body).toMatchObject({ cache: "miss" });
    expect(body.data.filter((hit) => hit["source"] === "bees.md").map((hit) => hit["text"])).toEqual([
      expect.stringContaining("Bumblebees"),
    ]);
  });

  it("deletes a document for the very next search", async () => {
    expect(JSON.stringify((await post({ query: "tides", top_k: 10 })).body)).toContain("tides.txt");
    expect((await millrace("docs", "delete", "deep/tides.txt", "--project", "e2e")).code).toBe(0);
    expect(JSON.stringify((await post({ query: "tides", top_k: 10 })).body)).not.toContain("tides.txt");
  });

  it("names every bad file with its reason, and the rest goes on", async () => {
    const bad = join(folder, "bad");
    await mkdir(bad);
    await writeFile(join(bad, "good.md"), "# Good\n\nStill here.\n");
    await writeFile(join(bad, "empty.md"), "");
    await writeFile(join(bad, "latin.txt"), Buffer.from([0x63, 0x61, 0x66, 0xe9]));
    await writeFile(join(bad, "binary.txt"), Buffer.from(Array.from({ length: 4_096 }, (_, index) => (index * 7) % 32)));
    await writeFile(join(bad, "broken.pdf"), "%PDF-1.7\nnothing of a PDF follows");
    await writeFile(join(bad, "picture.xyz"), "?");
    const { code, events, summary } = await ingest(bad);
    expect(code).toBe(1);
    expect(summary).toMatchObject({ failed: 2 });
    const stateOf = (source: string) => events.findLast((event) => event["source"] === source);
    expect(stateOf("good.md")).toMatchObject({ state: "live" });
    expect(stateOf("latin.txt")).toMatchObject({ state: "live" });
    expect(stateOf("empty.md")).toMatchObject({ state: "empty" });
    expect(JSON.stringify(stateOf("binary.txt"))).toContain("parse.binary");
    expect(JSON.stringify(stateOf("broken.pdf"))).toContain("parse.damaged");
    expect(JSON.stringify(events)).toContain("picture.xyz");
  });

  it("refuses wrong usage with exit code 2", async () => {
    expect((await millrace("ingest", join(folder, "nowhere"), "--project", "e2e")).code).toBe(2);
    expect((await millrace("ingest", docs, "--project", "a/b")).code).toBe(2);
    expect((await millrace("fly")).code).toBe(2);
  });

  it("answers wrong requests with problem details", async () => {
    for (const [body, status, code] of [
      [{ query: "x", top_k: 0 }, 400, "query.top_k"],
      [{ query: "x", top_k: 1_000_000 }, 400, "query.top_k"],
      [{ query: " " }, 400, "query.empty"],
      [{ query: "q".repeat(8_193) }, 400, "query.too_long"],
      [{ query: "q".repeat(100_000) }, 413, "request.too_large"],
      [{ query: "x", mode: "psychic" }, 400, "query.mode"],
      [{ query: "x", filter: { type: "like", key: "source", value: "a" } }, 400, "filter.invalid"],
      ["{", 400, "request.malformed"],
    ] as const) {
      const reply = await post(body);
      expect({ status: reply.status, code: reply.body["code"] }, JSON.stringify(body).slice(0, 60)).toEqual({ status, code });
      expect(reply.type).toContain("application/problem+json");
    }
    expect((await post({ query: "x" }, { authorization: "Bearer wrong" })).status).toBe(401);
    expect((await post({ query: "x" }, { "x-millrace-project": "a/b" })).status).toBe(400);
  });

  it("searches with a query that is longer than the model reads", async () => {
    const reply = await post({ query: "honey bees dance where the flowers are ".repeat(100), mode: "dense", top_k: 1 });
    expect(reply).toMatchObject({ status: 200, body: { data: [{ source: "bees.md" }] } });
  });

  it("keeps a project's key in its project", async () => {
    const created = await millrace("keys", "create", "--project", "other", "--scope", "read");
    const key = /mr_[0-9a-f]{16}_[\w-]{43}/.exec(created.stdout)?.[0] ?? "";
    expect((await post({ query: "bees" }, { authorization: `Bearer ${key}` })).status).toBe(404);
    const own = await post({ query: "bees" }, { authorization: `Bearer ${key}`, "x-millrace-project": "other" });
    expect(own).toMatchObject({ status: 200, body: { data: [] } });
  });

  it("finishes what a killed worker left", async () => {
    const status = JSON.parse((await millrace("status", "--json")).stdout) as { services: { name: string; pid: number }[] };
    const worker = status.services.find((service) => service.name === "worker-1");
    const many = join(folder, "many");
    await mkdir(many);
    for (let index = 0; index < 40; index++)
      await writeFile(join(many, `${index}.md`), `# Note ${index}\n\n${`Fact ${index} about something. `.repeat(120)}`);
    expect((await ingest(many, "--no-wait")).code).toBe(0);
    process.kill(worker?.pid ?? 0, "SIGKILL");
    const { summary } = await ingest(many);
    expect(summary).toMatchObject({ failed: 0 });
    const found = await post({ query: "Fact 7 about something", top_k: 200 });
    const texts = found.body.data
      .filter((hit) => /^\d+\.md$/.test(String(hit["source"])))
      .map((hit) => `${hit["source"]} ${hit["ordinal"]}`);
    expect(new Set(texts).size).toBe(texts.length);
    const listed = await millrace("docs", "list", "--project", "e2e", "--state", "live", "--limit", "200", "--json");
    expect(new Set(listed.stdout.match(/"\d+\.md"/g)).size).toBe(40);
  }, 180_000);

  it("says clearly that a second `up` on the same home is one too many, and stops on `down`", async () => {
    expect((await millrace("up", "--detach")).code).toBe(0); // it runs, which is all that was asked for
    const second = await millrace("up");
    expect(second.code).not.toBe(0);
    expect(second.stderr + second.stdout).toMatch(/already/);
    expect((await millrace("down")).code).toBe(0);
    await expect(fetch(`http://127.0.0.1:${env["MILLRACE_PORT"]}/healthz`)).rejects.toThrow();
  }, 60_000);
});
