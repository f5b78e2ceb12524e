import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMillraceError, limits } from "@millrace/core";
import { loadConfig, type TransformersConfig } from "@millrace/runtime";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TransformersEmbedder } from "../src/transformers-embedder.ts";
import { type ModelHub, startModelHub } from "./model-hub.ts";

/** The built-in model, as a hub would serve it under a revision that is not `main`. */
const folder = loadConfig().model.path;
const model = { id: "mill/wheel", revision: "refs/pr/7", folder };
const weights = "onnx/model_int8.onnx";
const signal = new AbortController().signal;
const text = "The mill stands by the river.";
let cacheFolder: string;
let hub: ModelHub;
const opened: TransformersEmbedder[] = [];

beforeEach(async () => {
  cacheFolder = mkdtempSync(join(tmpdir(), "millrace-hub-"));
  hub = await startModelHub(model);
});
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
  await hub.close();
  rmSync(cacheFolder, { recursive: true, force: true });
});

function open(changes: Partial<TransformersConfig> = {}): TransformersEmbedder {
  const config: TransformersConfig = {
    ...{ kind: "transformers", model: model.id, revision: model.revision, dtype: "int8", pooling: "mean", remote: true, hub: hub.url },
    ...{ dimension: 384, tokensMax: 256, queryPrefix: "", documentPrefix: "" },
    ...changes,
  };
  const embedder = new TransformersEmbedder({ config, cacheFolder });
  opened.push(embedder);
  return embedder;
}

/** Relative paths of the files that are kept. */
function kept(): string[] {
  const all = readdirSync(cacheFolder, { recursive: true, encoding: "utf8" });
  return all.filter((path) => statSync(join(cacheFolder, path)).isFile()).sort();
}
const below = join("refs%2Fpr%2F7", "mill", "wheel");
const whole = ["config.json", weights, "tokenizer.json", "tokenizer_config.json"].map((file) => join(below, file));

async function failure(embedder: TransformersEmbedder): Promise<{ code: string; message: string; hint: string; retryable: boolean }> {
  const error: unknown = await embedder.start(signal).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isMillraceError(error)) throw error ?? new Error("It started");
  const { code, message, hint = "", retryable } = error;
  return { code, message, hint, retryable };
}

test("a pinned revision is downloaded once, is what a folder gives, and serves without the hub", async () => {
  const [vector] = await open().embed([text], signal);
  expect(vector).toEqual((await open({ model: folder, remote: false }).embed([text], signal))[0]);
  expect(kept()).toEqual(whole);
  expect(hub.sent.get(weights)).toBe(statSync(join(folder, weights)).size);

  const sent = new Map(hub.sent);
  expect(await open().embed([text], signal)).toEqual([vector]);
  expect(hub.sent).toEqual(sent);

  await hub.close();
  for (const remote of [true, false]) expect(await open({ remote }).embed([text], signal)).toEqual([vector]);
});

test("two processes may download at once", async () => {
  const vectors = await Promise.all([open(), open()].map((embedder) => embedder.embed([text], signal)));
  expect(vectors[0]).toEqual(vectors[1]);
  expect(kept()).toEqual(whole);
});

test("what is not to be had is told with its name and the way out", async () => {
  const missing = { code: "model.missing", retryable: false };
  expect(await failure(open({ model: "mill/whell" }))).toMatchObject({
    ...missing,
    message: expect.stringMatching(/127\.0\.0\.1:\d+ does not give what is needed of mill\/whell \(refs\/pr\/7\)/),
    hint: expect.stringContaining('"model"'),
  });
  expect(await failure(open({ revision: "main" }))).toMatchObject({ ...missing, message: expect.stringContaining("mill/wheel (main)") });
  expect(await failure(open({ dtype: "q4" }))).toMatchObject({
    ...missing,
    message: expect.stringContaining("model_q4.onnx"),
    hint: expect.stringContaining('"dtype"'),
  });
  expect(await failure(open({ model: "mill/stone", remote: false }))).toMatchObject({
    ...missing,
    message: expect.stringContaining("may not be downloaded"),
    hint: expect.stringContaining('"remote": true'),
  });
  await hub.close();
  expect(await failure(open({ model: "mill/stone" }))).toMatchObject({
    code: "model.download_failed",
    retryable: true,
    message: expect.stringContaining("ECONNREFUSED"),
    hint: expect.stringContaining('"hub"'),
  });
});

test("a download that breaks off leaves nothing half-done, and the next request has it whole", async () => {
  const embedder = open();
  hub.trouble = "503";
  expect(await failure(embedder)).toMatchObject({ code: "model.download_failed", message: expect.stringContaining("mill/wheel") });
  hub.trouble = "breaks off";
  expect(await failure(embedder)).toMatchObject({ code: "model.download_failed", retryable: true });
  expect(kept()).toEqual(whole.filter((file) => !file.endsWith(weights)));
  hub.trouble = "none";
  expect(await embedder.embed([text], signal)).toHaveLength(1);
  expect(kept()).toEqual(whole);
});

test("a download whose process is killed is begun again, and its remains are removed when they are old", async () => {
  const embedder = open();
  hub.trouble = "stalls";
  const started = embedder.start(signal);
  await hub.half;
  hub.trouble = "none";
  for (const pid of embedder.pids()) process.kill(pid, "SIGKILL");
  await started;
  const remains = kept().filter((file) => !whole.includes(file));
  expect(remains).toEqual([expect.stringContaining(`${weights}.tmp.`)]);

  // What was written to a moment ago may be another process's.
  await open().start(signal);
  expect(kept()).toEqual(expect.arrayContaining(remains));
  const old = (Date.now() - limits.downloadSilenceMs) / 1_000 - 60;
  for (const file of remains) utimesSync(join(cacheFolder, file), old, old);
  await open().start(signal);
  expect(kept()).toEqual(whole);
});

test("a download that is no model is told with what to remove", async () => {
  await open().start(signal);
  writeFileSync(join(cacheFolder, below, "config.json"), "<html>Log in first</html>");
  expect(await failure(open())).toMatchObject({ code: "model.unusable", hint: expect.stringContaining(join(cacheFolder, below)) });
});
