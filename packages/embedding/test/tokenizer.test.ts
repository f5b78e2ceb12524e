import { basename, dirname } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { loadConfig } from "@millrace/runtime";
import { AutoTokenizer, env } from "@xenova/transformers";
import { expect, test } from "vitest";
import { loadTokenizer } from "../src/tokenizer.ts";

const { model } = loadConfig();

test("finds the ids that the library finds in the whole text", async () => {
  const ours = loadTokenizer(model.path);
  env.allowRemoteModels = false;
  env.localModelPath = dirname(model.path);
  const library = await AutoTokenizer.from_pretrained(basename(model.path), { local_files_only: true });
  const texts = [
    "Set `maxmemory-policy` to allkeys-lfu; see https://example.org/a_b?c=1&d=%20#e (or redis.conf:12).",
    "x^2 + y~3 != 10**-6 -- {a:[1,2],b:\\'c\\'} <tag/> $HOME @user 50% \"quoted\" |pipe|",
    "[SEP] and [CLS]x, foo[MASK]bar, [unused1] [ SEP ] a[0]=b[1]",
    "naïve Müller—“quoted”… don’t 東京タワー 한국어 ½ e\u0301 \u200bzero",
    `${"a".repeat(101)}.${"b".repeat(100)}, ${"7".repeat(40)}`,
    "",
  ];
  // Again, from memory.
  for (const text of [...texts, ...texts]) {
    expect(ours.encode(text)).toEqual(library.encode(text));
    expect(ours.count(text) + ours.specialTokens).toBe(library.encode(text).length);
  }
});

test("remembers words without the texts that they stood in", () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const tokenizer = loadTokenizer(model.path);
  const megabytesUsed = (): number => {
    collectGarbage();
    return process.memoryUsage().heapUsed / 1e6;
  };
  const before = megabytesUsed();
  for (let index = 0; index < 16; index++) tokenizer.count(`${"mill ".repeat(200_000)}${"race".repeat(4)}${index}`);
  expect(megabytesUsed() - before).toBeLessThan(4);
});
