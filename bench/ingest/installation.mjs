/** Millrace as a user runs it: the real command, in a home of its own that is new every time and gone afterwards. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePort } from "@millrace/testing";
import { root } from "../report/results.mjs";

const command = join(root, "apps", "ingest", "bin", "millrace.js");
const readyMsMax = 120_000;

/** The tools that the set-up prepared: shared, read only. */
export const runtime = process.env.MILLRACE_RUNTIME || join(process.env.MILLRACE_HOME || join(homedir(), ".millrace"), "runtime");

export class Installation {
  #up;
  #env;
  #home;

  /** @param {Record<string, string>} settings environment variables of the product */
  static async start(settings = {}) {
    const installation = new Installation();
    await installation.#start(settings);
    return installation;
  }

  async #start(settings) {
    const { REDIS_QUEUE_URL, REDIS_CACHE_URL, MILVUS_ADDRESS, ...env } = process.env;
    this.#home = mkdtempSync(join(tmpdir(), "millrace-bench-"));
    const [port, dashboard] = [await freePort(), await freePort()];
    const own = { MILLRACE_HOME: this.#home, MILLRACE_RUNTIME: runtime, MILLRACE_PORT: `${port}`, MILLRACE_DASHBOARD_PORT: `${dashboard}` };
    this.#env = { ...env, ...own, ...settings };
    const log = openSync(join(this.#home, "up.log"), "a");
    this.#up = spawn(process.execPath, [command, "up"], { env: this.#env, stdio: ["ignore", log, log] });
    closeSync(log);
    // A benchmark that is interrupted leaves nothing running.
    const stop = () => this.#up.kill("SIGTERM");
    process.once("exit", stop);
    this.#up.once("exit", () => process.off("exit", stop));
    const giveUpAt = performance.now() + readyMsMax;
    while (this.state()?.phase !== "ready") {
      if (this.#up.exitCode !== null || performance.now() > giveUpAt)
        throw new Error(`millrace up did not start; its logs are in ${this.#home}`);
      await new Promise((wake) => setTimeout(wake, 50));
    }
  }

  /** Addresses and process ids, as `millrace up` writes them; undefined before it does. */
  state() {
    const path = join(this.#home, "run", "state.json");
    return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
  }

  get pid() {
    return this.#up.pid;
  }

  get home() {
    return this.#home;
  }

  /**
   * `millrace ingest --json`.
   * @param {readonly string[]} args @param {(pid: number) => void} onStart
   * @returns {Promise<{ seconds: number, firstSearchableSeconds: number | undefined, summary: object, documents: object[] }>}
   */
  async ingest(args, onStart = () => undefined) {
    const startedAt = performance.now();
    const child = spawn(process.execPath, [command, "ingest", ...args, "--json"], { env: this.#env, stdio: ["ignore", "pipe", "pipe"] });
    onStart(child.pid);
    let stderr = "";
    child.stderr.on("data", (data) => {
      stderr = (stderr + data).slice(-4_000);
    });
    const exited = once(child, "exit");
    let firstSearchableSeconds;
    let summary;
    const documents = [];
    for await (const text of createInterface({ input: child.stdout })) {
      const event = JSON.parse(text);
      if (event.event === "summary") summary = event;
      if (event.event !== "document") continue;
      documents.push(event);
      // Live in the ledger: the very next search may find it.
      if (event.state === "live") firstSearchableSeconds ??= (performance.now() - startedAt) / 1_000;
    }
    await exited;
    if (summary === undefined) throw new Error(`millrace ingest failed:\n${stderr}`);
    return { seconds: (performance.now() - startedAt) / 1_000, firstSearchableSeconds, summary, documents };
  }

  /** A request to the query service as its administrator. */
  async request(path, { project, body }) {
    const response = await fetch(`${this.state().queryUrl}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${readFileSync(join(this.#home, "admin.key"), "utf8").trim()}`,
        "x-millrace-project": project,
        "content-type": "application/json",
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** Stops everything and removes the home. */
  async close() {
    if (this.#up?.exitCode === null) {
      const exited = once(this.#up, "exit");
      this.#up.kill("SIGTERM");
      await exited;
    }
    rmSync(this.#home, { recursive: true, force: true });
  }
}
