import { expect, test } from "vitest";
import { blocksOf, describeParser } from "../../test/parser-conformance.ts";
import { parseSourceCode } from "./source-code.ts";

const code = "import a\n\n\ndef needle():\n\treturn  1\n\n\treturn 2\n\nclass B:\n    pass";

describeParser("source code", parseSourceCode, new TextEncoder().encode(code));

test("code stays to the letter, and is cut where a definition begins", async () => {
  const document = await parseSourceCode(new TextEncoder().encode(`${code}\n`));
  expect(document.text).toBe(code);
  expect(blocksOf(document).map(([, text]) => text)).toEqual([
    "import a",
    "def needle():\n\treturn  1\n\n\treturn 2",
    "class B:\n    pass",
  ]);
});

test("the encoding may be declared", async () => {
  for (const declaration of ['<?xml version="1.0" encoding="windows-1251"?>', "#!/bin/py\n# -*- coding: cp1251 -*-"]) {
    const bytes = Buffer.concat([Buffer.from(`${declaration}\n`), Buffer.of(0xcc, 0xe8, 0xf0)]);
    expect((await parseSourceCode(new Uint8Array(bytes))).text).toContain("Мир");
  }
});
