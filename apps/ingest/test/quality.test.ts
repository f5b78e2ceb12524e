import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadConfig } from "@millrace/runtime";
import { freePort, makeOverlapReranker } from "@millrace/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** The quality of retrieval, as a user measures it: documents ingested by the command, queries and judgements given to `millrace eval`. */
const command = fileURLToPath(new URL("../bin/millrace.js", import.meta.url));
const data = process.env["MILLRACE_TEST_DATA"] || fileURLToPath(new URL("../../../../shared/data", import.meta.url));
const cranfield = join(data, "cranfield");
let folder: string;
let env: NodeJS.ProcessEnv;

function millrace(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], { env, cwd: folder, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

async function evaluation(...args: string[]): Promise<{ code: number; result: EvaluationJson }> {
  const { code, stdout, stderr } = await millrace("eval", ...args, "--json");
  if (stdout === "") throw new Error(`no evaluation, exit ${code}: ${stderr}`);
  return { code, result: JSON.parse(stdout) as EvaluationJson };
}

interface EvaluationJson {
  readonly runs: readonly { readonly mode: string; readonly mean: Record<string, number>; readonly queries: readonly unknown[] }[];
  readonly comparisons: readonly { readonly failed: readonly string[]; readonly worse: number }[];
}

async function write(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return name;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-quality-"));
  env = {
    PATH: process.env["PATH"],
    HOME: folder,
    NO_COLOR: "1",
    MILLRACE_HOME: join(folder, "home"),
    MILLRACE_RUNTIME: loadConfig().runtime,
    MILLRACE_PORT: String(await freePort()),
    MILLRACE_DASHBOARD_PORT: String(await freePort()),
    MILLRACE_RERANKER: join(folder, "reranker"),
  };
  makeOverlapReranker(join(folder, "reranker"));
});

afterAll(async () => {
  await millrace("down");
  await rm(folder, { recursive: true, force: true });
});

const own = {
  "bees.md": "# Bees\n\nA honey bee that found flowers dances in the hive; the angle of her dance tells the others the way.",
  "tides.md": "# Tides\n\nThe moon pulls the oceans, and the water rises and falls twice a day.",
  "bread.md": "# Bread\n\nA sourdough ferments overnight at room temperature before the loaf goes into a hot oven.",
  "glass.md": "# Glass\n\nSand, soda and lime melt at fifteen hundred degrees; the melt is blown or floated on tin.",
  "locks.md": "# Locks\n\nA canal lock lifts a boat: gates close, sluices open, the chamber fills.",
};

describe("a collection of five documents", () => {
  let files: string[];

  beforeAll(async () => {
    await mkdir(join(folder, "own"));
    for (const [name, text] of Object.entries(own)) await writeFile(join(folder, "own", name), text);
    expect((await millrace("ingest", "own", "--project", "own", "--json")).code).toBe(0);
    const queries =
      '{"id":"1","text":"how do insects tell each other the way"}\n{"id":"2","text":"why does the sea rise"}\n{"id":"3","text":"unjudged"}\n';
    files = ["--queries", await write("queries.jsonl", queries), "--qrels", await write("qrels.txt", "1 0 bees 1\n2 0 tides 1\n")];
  }, 120_000);

  it("is rated, in every mode, for people, for programs and for trec_eval", async () => {
    const { code, stdout, stderr } = await millrace("eval", ...files, "--project", "own", "--mode", "hybrid", "dense", "--per-query");
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/mode +queries +nDCG@10 +recall@10 +recall@100 +MRR/);
    expect(stdout).toMatch(/^hybrid +2 +1\.0000 +1\.0000 +1\.0000 +1\.0000 +\d+\.\d ms$/m);
    expect(stdout).toMatch(/^dense +2 +1\.0000/m);
    expect(stderr).toContain("1 queries have no relevant document");
    expect((await millrace("eval", ...files, "--project", "own", "--run", "run.txt")).code).toBe(0);
    const run = (await readFile(join(folder, "run.txt"), "utf8")).trim().split("\n");
    expect(run[0]).toMatch(/^1 Q0 bees 1 [\d.]+ millrace-hybrid$/);
    expect(run).toHaveLength(10);
  });

  it("fails with 1 once searches find less than the baseline", async () => {
    expect((await evaluation(...files, "--project", "own", "--save", "baseline.json")).code).toBe(0);
    const same = await evaluation(...files, "--project", "own", "--baseline", "baseline.json");
    expect(same).toMatchObject({ code: 0, result: { comparisons: [{ failed: [], worse: 0 }] } });
    // A filter that hides a relevant document is as good as a broken retrieval.
    const broken = JSON.stringify({ filter: { type: "ne", key: "source", value: "bees.md" } });
    const worse = await evaluation(...files, "--project", "own", "--baseline", "baseline.json", "--search", broken);
    expect(worse).toMatchObject({ code: 1, result: { comparisons: [{ worse: 1 }] } });
    expect(worse.result.comparisons[0]?.failed).toContain("ndcg10");
    const table = await millrace("eval", ...files, "--project", "own", "--baseline", "baseline.json", "--search", broken);
    expect(table.stdout).toMatch(/nDCG@10 +1\.0000 +0\.5000 +−0\.5000 +worse/);
  });

  it("rates what a reranker makes of it, as deep as that reads", async () => {
    const query = await write("exact.jsonl", '{"id":"1","text":"water"}\n');
    const args = ["--queries", query, "--qrels", await write("exact.txt", "1 0 tides 1\n"), "--project", "own"];
    const { code, stdout, stderr } = await millrace("eval", ...args, "--search", '{"rerank":true}');
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^hybrid +1 +1\.0000/m);
    expect(stderr).toContain("50 documents are reranked at most");
  });

  it("refuses what it cannot rate", async () => {
    for (const [args, message] of [
      [["--queries", "none.jsonl", "--qrels", "qrels.txt"], /Cannot read none\.jsonl/],
      [["--queries", "qrels.txt", "--qrels", "qrels.txt"], /qrels\.txt:1 is no query/],
      [[...files, "--project", "empty"], /no document that the judgements name/],
      [[...files, "--mode", "psychic"], /hybrid, dense, keyword/],
      [[...files, "--search", '{"mode":"dense"}'], /--mode/],
      [[...files, "--project", "own", "--search", '{"filters":{}}'], /no field "filters"/],
    ] as const) {
      const { code, stdout, stderr } = await millrace("eval", ...args);
      expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: "" });
      expect(stderr).toMatch(message);
    }
  });
});

/** Fields of the SMART format: `.I` begins an entry, `.T`, `.W` its fields. */
function smartEntries(text: string): Map<string, string>[] {
  return text
    .split(/^\.I .*\r?\n/m)
    .slice(1)
    .map((entry) => new Map([...entry.matchAll(/^\.([A-Z])\r?\n([\s\S]*?)(?=^\.[A-Z]\r?$|(?![\s\S]))/gm)].map(([, tag = "", field = ""]) => [tag, field.trim()])));
} // biome-ignore format: one line

describe.skipIf(!existsSync(cranfield))("Cranfield, 1,400 abstracts and 225 queries, with the defaults", () => {
  it("hybrid retrieval reaches nDCG@10 0.562 (fp32 vectors and BM25 with fused ranks: 0.556), and beats both of its parts", async () => {
    const read = (name: string): Promise<string> => readFile(join(cranfield, name), "utf8");
    await mkdir(join(folder, "cranfield"));
    for (const [index, fields] of smartEntries(await read("cran.all.1400")).entries())
      await writeFile(join(folder, "cranfield", `${index + 1}.txt`), `${fields.get("T")}\n\n${fields.get("W")}\n`);
    // Judgements count the queries by position, whatever their numbers are.
    const queries = smartEntries(await read("cran.qry")).map((fields, index) => ({
      id: `${index + 1}`,
      text: fields.get("W")?.replace(/\s+/g, " "),
    }));
    const relevant = (await read("cranqrel")).split("\n").map((line) => line.trim().split(/\s+/)).filter(([, , code]) => Number(code) >= 1); // biome-ignore format: one line
    await write("cranfield.jsonl", queries.map((query) => JSON.stringify(query)).join("\n"));
    await write("cranfield.qrels", relevant.map(([query, document]) => `${query} 0 ${document} 1`).join("\n"));
    const ingested = await millrace("ingest", "cranfield", "--project", "cranfield", "--json");
    expect(ingested.code, ingested.stderr).toBeLessThanOrEqual(1); // two of the abstracts are empty

    const { result } = await evaluation("--queries", "cranfield.jsonl", "--qrels", "cranfield.qrels", "--project", "cranfield", "--mode", "hybrid", "dense", "keyword"); // biome-ignore format: one line
    const [hybrid, dense, keyword] = result.runs.map(({ mean }) => mean["ndcg10"] ?? 0);
    console.log(`Cranfield nDCG@10: hybrid ${hybrid?.toFixed(4)}, dense ${dense?.toFixed(4)}, keyword ${keyword?.toFixed(4)}`);
    expect(result.runs[0]?.queries).toHaveLength(225);
    expect(hybrid).toBeGreaterThanOrEqual(0.562);
    expect(hybrid).toBeGreaterThan(Math.max(dense ?? 1, keyword ?? 1));
  }, 900_000);
});
