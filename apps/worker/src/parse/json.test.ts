import { expect, test } from "vitest";
import { blocksOf, describeParser } from "../../test/parser-conformance.ts";
import { parseJson, parseJsonLines } from "./json.ts";

const json = async (text: string): Promise<[string, string][]> => blocksOf(await parseJson(new TextEncoder().encode(text)));

describeParser("json", parseJson, new TextEncoder().encode('{"title": "Hay", "parts": [{"name": "needle", "sizes": [1, 2]}]}'));
describeParser("jsonl", parseJsonLines, new TextEncoder().encode('{"a": "needle"}\n{"a": 2}\n'));

test("each value stands behind its path", async () => {
  expect(await json('{"server": {"port": 80, "hosts": ["a", "b"], "tls": null, "on": true}, "users": [{"name": "Ann"}]}')).toEqual([
    ["list", "server.port: 80\nserver.hosts: a, b\nserver.on: true\nusers.0.name: Ann"],
  ]);
});

test("an element of a list, and a line of JSON lines, is a block", async () => {
  expect(await json('[{"q": 1}, {"q": 2}]')).toEqual([
    ["list", "q: 1"],
    ["list", "q: 2"],
  ]);
  expect(blocksOf(await parseJsonLines(new TextEncoder().encode('{"q": 1}\nnot json\n"text"\n')))).toEqual([
    ["list", "q: 1"],
    ["list", "not json"],
    ["list", "text"],
  ]);
});

test("what is not strictly JSON is kept to the letter", async () => {
  expect(await json('{\n  // the port\n  "port": 80,\n}\n')).toEqual([["code", '{\n  // the port\n  "port": 80,\n}']]);
});

test("deep trees are walked, and do not multiply into gigabytes", async () => {
  expect((await json(`${"[".repeat(200_000)}1${"]".repeat(200_000)}`))[0]?.[1]).toMatch(/^(?:0\.)+0: 1$/);
  const depth = 20_000;
  const tree = `${'{"key":1,"next":'.repeat(depth)}1${"}".repeat(depth)}`;
  await expect(json(tree)).rejects.toMatchObject({ code: "parse.too_large" });
});
