import { DocumentError, type ParsedDocument } from "@millrace/core";
import { seeded } from "@millrace/testing";
import { describe, expect, test } from "vitest";

/** What every parser promises. Named blocks of a document are easier to read in a test than its text with offsets. */
export function blocksOf({ text, blocks }: ParsedDocument): [string, string][] {
  return blocks.map(({ kind, level, start, end }) => [level === undefined ? kind : `${kind} ${level}`, text.slice(start, end)]);
}

/** @throws an assertion error when the document is not what `ParsedDocument` says it is */
function expectWellFormed(document: ParsedDocument): void {
  const { text, blocks } = document;
  expect(text).not.toMatch(/\0|\r|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/);
  let end = 0;
  for (const block of blocks) {
    expect(block.start).toBeGreaterThanOrEqual(end);
    expect(block.end).toBeGreaterThan(block.start);
    expect(text.slice(end, block.start).trim()).toBe("");
    if (block.level !== undefined) expect(block.level).toBeLessThanOrEqual(6);
    end = block.end;
  }
  expect(text.slice(end).trim()).toBe("");
}

/**
 * The checks that every parser passes. `sample` is a document of the format with the word "needle" in it.
 */
export function describeParser(name: string, parse: (bytes: Uint8Array) => Promise<ParsedDocument>, sample: Uint8Array): void {
  describe(`${name} as a parser`, () => {
    test("gives a well-formed document that holds what the author wrote", async () => {
      const document = await parse(new Uint8Array(sample));
      expectWellFormed(document);
      expect(document.text).toContain("needle");
    });

    test("gives nothing, or a typed error, for nothing", async () => {
      const outcome = await parse(new Uint8Array(0)).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(DocumentError);
      else expect((outcome as ParsedDocument).text).toBe("");
    });

    test("gives a well-formed document or an error for whatever bytes", async () => {
      const random = seeded(11);
      for (let round = 0; round < 60; round++) {
        const bytes = new Uint8Array(sample.subarray(0, Math.ceil(sample.length * random())));
        for (let change = 0; change < 4; change++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
        const outcome = await parse(bytes).catch((error: unknown) => error);
        if (!(outcome instanceof Error)) expectWellFormed(outcome as ParsedDocument);
      }
    });
  });
}
