import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chunkDocument } from "./chunk.ts";
import { embeddedText } from "./chunk-header.ts";
import type { Block, ParsedDocument } from "./document.ts";
import type { TokenCounter } from "./ports.ts";

/** One token per started 5 characters of a word: additive over words, like WordPiece. */
const counter: TokenCounter = {
  specialTokens: 2,
  count: (text) => (text.match(/\S+/g) ?? []).reduce((sum, word) => sum + Math.ceil(word.length / 5), 0),
};
const options = { tokensMax: 64, tokensOverlap: 8, tokensMin: 16 };

function documentOf(blocks: readonly { kind: Block["kind"]; text: string; level?: number }[], pageEvery?: number): ParsedDocument {
  let text = "";
  const placed: Block[] = [];
  for (const { text: body, ...block } of blocks) {
    if (text !== "") text += "\n\n";
    placed.push({ ...block, start: text.length, end: text.length + body.length });
    text += body;
  }
  const pages =
    pageEvery === undefined ? {} : { pageStarts: placed.filter((_, index) => index % pageEvery === 0).map((block) => block.start) };
  return { text, blocks: placed, metadata: {}, ...pages };
}

const wordText = fc.oneof(
  fc.string({ minLength: 1, maxLength: 12 }),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 300 }),
  fc.constantFrom("end.", "中文没有空格。第二句！", "x".repeat(500)),
);
const block = fc.record({
  kind: fc.constantFrom<Block["kind"]>("heading", "paragraph", "list", "code", "table"),
  text: fc.array(wordText, { minLength: 1, maxLength: 60 }).map((words) => words.join(" ").replace(/[\uD800-\uDFFF]/g, "") || "x"),
  level: fc.integer({ min: 1, max: 6 }),
});
const parsed = fc
  .tuple(fc.array(block, { maxLength: 12 }), fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }))
  .map(([blocks, pages]) => ({ ...documentOf(blocks, pages), title: "The mill and its wheel" }));

describe("chunkDocument", () => {
  it("keeps its invariants on any document", () => {
    fc.assert(
      fc.property(parsed, (document) => {
        const chunks = chunkDocument(document, counter, options);
        const covered = new Uint8Array(document.text.length);
        let previousEnd = 0;
        for (const [index, chunk] of chunks.entries()) {
          expect(chunk.ordinal).toBe(index);
          expect(chunk.text).toBe(document.text.slice(chunk.span.start, chunk.span.end));
          expect(chunk.tokens).toBeLessThanOrEqual(options.tokensMax);
          expect(chunk.tokens).toBe(counter.count(chunk.text) + 2);
          expect(counter.count(embeddedText(chunk)) + 2).toBeLessThanOrEqual(options.tokensMax);
          expect(chunk.span.end).toBeGreaterThan(previousEnd);
          previousEnd = chunk.span.end;
          covered.fill(1, chunk.span.start, chunk.span.end);
        }
        for (let at = 0; at < document.text.length; at++) {
          if (covered[at] === 0) expect(document.text[at]).toMatch(/\s/);
        }
      }),
      { seed: 7, numRuns: 400 },
    );
  });

  it("ends chunks at headings once they are long enough, and joins short sections", () => {
    const sentence = "Water turns the wheel of the mill. ".repeat(6).trim();
    const document = documentOf([
      { kind: "heading", level: 1, text: "Guide" },
      { kind: "paragraph", text: "Short." },
      { kind: "heading", level: 2, text: "Wheel" },
      { kind: "paragraph", text: sentence },
      { kind: "heading", level: 2, text: "Stone" },
      { kind: "paragraph", text: sentence },
    ]);
    const chunks = chunkDocument(document, counter, options);
    expect(chunks.map((chunk) => chunk.text.split("\n")[0])).toEqual(["Guide", "Stone"]);
    expect(chunks.map((chunk) => chunk.headings)).toEqual([["Guide"], ["Guide", "Stone"]]);
    expect(chunks.map(({ header }) => header)).toEqual([undefined, "Guide"]);
  });

  it("cuts long paragraphs at sentences and repeats one sentence as overlap", () => {
    const sentences = Array.from({ length: 20 }, (_, index) => `Sentence number ${index} ends here.`);
    const chunks = chunkDocument(documentOf([{ kind: "paragraph", text: sentences.join(" ") }]), counter, options);
    expect(chunks.length).toBeGreaterThan(1);
    for (const chunk of chunks) expect(chunk.text).toMatch(/^Sentence.*here\.$/s);
    for (const [index, chunk] of chunks.slice(1).entries()) expect(chunk.span.start).toBeLessThan(chunks[index]?.span.end ?? 0);
  });

  it("numbers pages from 1 by where the chunk starts", () => {
    const page = "A short page.";
    const document = documentOf(
      Array.from({ length: 4 }, () => ({ kind: "paragraph" as const, text: page })),
      1,
    );
    expect(chunkDocument(document, counter, options).map((chunk) => chunk.page)).toEqual([1, 2, 3, 4]);
  });

  it("yields nothing for an empty document", () => {
    expect(chunkDocument(documentOf([]), counter, options)).toEqual([]);
  });
});
