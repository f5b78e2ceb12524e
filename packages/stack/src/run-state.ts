import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MillraceError } from "@millrace/core";

/**
 * What runs on a home, in `run/state.json`: how other commands find the addresses of a running `millrace up`, and what keeps a second one
 * from starting. The file of a process that was killed stays behind; hence a process is known by its id and its start time, since ids are
 * used again.
 */
export interface RunState {
  readonly phase: "starting" | "ready" | "stopping";
  /** The `millrace up` process. */
  readonly pid: number;
  /** Tells it from a later process with the same id; empty where the system does not say. */
  readonly pidIdentity: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Set from the moment on at which they are known. */
  readonly redisQueueUrl?: string;
  readonly redisCacheUrl?: string;
  readonly milvusAddress?: string;
  readonly queryUrl?: string;
  readonly dashboardUrl?: string;
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
}

/** The state of the living process on this home; undefined when none runs. */
export async function readRunState(home: string): Promise<RunState | undefined> {
  const state = await readStateFile(statePath(home));
  return state !== undefined && (await isAlive(state)) ? state : undefined;
}

/** Takes the home for this process. @throws MillraceError `up.already_running` */
export async function claimRunState(home: string): Promise<RunState> {
  const path = statePath(home);
  const state: RunState = {
    phase: "starting",
    pid: process.pid,
    pidIdentity: await identityOf(process.pid),
    startedAt: Date.now(),
    processes: [],
  };
  if (await createExclusively(path, state)) return state;
  const other = await readRunState(home);
  if (other === undefined) {
    // Left behind by a process that was killed. Moved away rather than deleted: should another have taken the home this instant, it is put back.
    const stale = `${path}.${randomUUID()}`;
    await rename(path, stale).catch(() => undefined);
    const moved = await readStateFile(stale);
    if (moved !== undefined && (await isAlive(moved))) await rename(stale, path);
    await rm(stale, { force: true });
    if (await createExclusively(path, state)) return state;
  }
  throw new MillraceError(
    "up.already_running",
    `Millrace runs already on ${home}${other === undefined ? "" : `, as process ${other.pid}`}`,
    false,
    {
      hint: "`millrace status` shows it, `millrace down` stops it; MILLRACE_HOME names another home.",
    },
  );
}

/** Replaces the state; readers see the old or the new, never half of one. */
export async function writeRunState(home: string, state: RunState): Promise<void> {
  const temporary = `${statePath(home)}.${randomUUID()}`;
  await writeFile(temporary, JSON.stringify(state, undefined, 2), { mode: 0o600 });
  await rename(temporary, statePath(home));
}

export async function removeRunState(home: string): Promise<void> {
  await rm(statePath(home), { force: true });
}

function statePath(home: string): string {
  return join(home, "run", "state.json");
}

async function createExclusively(path: string, state: RunState): Promise<boolean> {
  await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, JSON.stringify(state, undefined, 2), { mode: 0o600 });
  try {
    await link(temporary, path); // fails when the name exists, and never shows an unfinished file
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function readStateFile(path: string): Promise<RunState | undefined> {
  try {
    // Our own file, written in one piece.
    return JSON.parse(await readFile(path, "utf8")) as RunState;
  } catch {
    return undefined;
  }
}

async function isAlive(state: RunState): Promise<boolean> {
  try {
    process.kill(state.pid, 0);
  } catch (error) {
    // EPERM: there is such a process, of another user.
    if (!(error instanceof Error && "code" in error && error.code === "EPERM")) return false;
  }
  return state.pidIdentity === (await identityOf(state.pid));
}

/** Start time in clock ticks since boot, from /proc; empty where that does not exist, and for a process that has ended but was not yet reaped. */
async function identityOf(pid: number): Promise<string> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The second field, the name in parentheses, may hold spaces; the third is the state, the 22nd the start time.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "" : (fields[19] ?? "");
  } catch {
    return "";
  }
}
