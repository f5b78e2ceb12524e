import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claimRunState, readRunState, removeRunState, writeRunState } from "./run-state.ts";

let home: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-run-"));
});

afterEach(() => rm(home, { recursive: true, force: true }));

test("one of many that claim a home at once gets it; the others are told by whom it is held", async () => {
  const claims = await Promise.allSettled(Array.from({ length: 8 }, () => claimRunState(home)));
  expect(claims.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const claim of claims) {
    if (claim.status === "rejected")
      expect(claim.reason).toMatchObject({ code: "up.already_running", message: expect.stringContaining(`${process.pid}`) });
  }
  expect(await readRunState(home)).toMatchObject({ phase: "starting", pid: process.pid });
  expect(await readdir(join(home, "run"))).toEqual(["state.json"]);
});

test("what is written is read, until it is removed", async () => {
  const state = await claimRunState(home);
  await writeRunState(home, { ...state, phase: "ready", queryUrl: "http://127.0.0.1:1" });
  expect(await readRunState(home)).toEqual({ ...state, phase: "ready", queryUrl: "http://127.0.0.1:1" });
  await removeRunState(home);
  expect(await readRunState(home)).toBeUndefined();
});

test("a process that has ended holds nothing", async () => {
  const child = spawn(process.execPath, ["-e", ""]);
  const state = { ...(await claimRunState(home)), pid: child.pid ?? 0 };
  await once(child, "exit");
  await writeRunState(home, state);
  expect(await readRunState(home)).toBeUndefined();
  expect(await claimRunState(home)).toMatchObject({ pid: process.pid });
});

test.runIf(process.platform === "linux")("another process that was given the same id holds nothing", async () => {
  const state = await claimRunState(home);
  await writeRunState(home, { ...state, pidIdentity: "1" });
  expect(await readRunState(home)).toBeUndefined();
  expect(await claimRunState(home)).toMatchObject({ pidIdentity: state.pidIdentity });
});
