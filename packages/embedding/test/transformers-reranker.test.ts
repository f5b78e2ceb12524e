import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeOverlapReranker } from "@millrace/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TransformersReranker } from "../src/transformers-reranker.ts";

const signal = new AbortController().signal;
const query = "how do mills grind corn";
const texts = [
  "Tides rise twice a day.",
  "Mills grind corn between two stones.",
  "Corn grows in summer.",
  "",
  `${"and ".repeat(300)} mills grind corn`,
];
let root: string;
const opened: TransformersReranker[] = [];

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "millrace-reranker-"));
  makeOverlapReranker(join(root, "one"));
  makeOverlapReranker(join(root, "two"), { outputs: 2, tokensMax: 512 });
  makeOverlapReranker(join(root, "three"), { outputs: 3 });
});
afterAll(async () => {
  for (const each of opened) await each.close();
  rmSync(root, { recursive: true, force: true });
});

function open(name: string): TransformersReranker {
  const reranker = new TransformersReranker({ folder: join(root, name), threads: 1 });
  opened.push(reranker);
  return reranker;
}
const rounded = (scores: readonly number[]): number[] => scores.map((score) => Math.round(score * 1_000) / 1_000);
/** Of five words, as the model is made. */
const found = (words: number): number => Math.round((1_000 * 1) / (1 + Math.exp(4 - (8 * words) / 5))) / 1_000;

test("scores each text beside the query, in the order given, whatever the batches", async () => {
  const reranker = open("one");
  expect(rounded(await reranker.score(query, texts, signal))).toEqual([found(0), found(3), found(1), found(0), found(0)]);
  const many = Array.from({ length: 40 }, (_, index) => `${"stone ".repeat((index * 7) % 30)}${index % 2 === 0 ? "mills" : ""}`);
  expect(rounded(await reranker.score(query, many, signal))).toEqual(many.map((_, index) => found(index % 2 === 0 ? 1 : 0)));
  expect(await reranker.score(query, [], signal)).toEqual([]);
});

test("a text is read as far as the model reads, and two outputs are as good as one", async () => {
  // The last text's words come after the 128 tokens of the one and before the 512 of the other.
  expect(rounded(await open("two").score(query, texts, signal))).toEqual([found(0), found(3), found(1), found(0), found(3)]);
});

test("what is no reranker is told at the start, and other weights have another fingerprint", async () => {
  await expect(open("three").start(signal)).rejects.toMatchObject({ code: "model.no_reranker" });
  expect(() => open("four")).toThrow(/No fp32 model/);
  expect(open("one").fingerprint).not.toBe(open("two").fingerprint);
});
