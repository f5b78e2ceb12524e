import { describe, expect, it } from "vitest";
import type { ChunkRecord } from "./document.ts";
import { limits } from "./limits.ts";
import { parseProjectName } from "./project.ts";
import { checkVector, toStoredChunk } from "./stored-chunk.ts";

const record: ChunkRecord = {
  chunkId: "c",
  project: parseProjectName("p"),
  documentId: "d",
  generation: "g",
  source: "s",
  mediaType: "text/plain",
  title: "t",
  ingestedAt: 1_760_000_000_000,
  metadata: {},
  chunk: { ordinal: 0, text: "x", span: { start: 0, end: 1 }, tokens: 3, headings: [] },
  vector: new Float32Array(2),
};

describe("toStoredChunk", () => {
  it("makes every string well-formed", () => {
    const stored = toStoredChunk({ ...record, source: "a\ud800b", title: "\udc00", metadata: { "k\ud800": ["\ud83d"] } });
    expect(stored).toMatchObject({ source: "a\ufffdb", title: "\ufffd", metadata: { "k\ufffd": ["\ufffd"] } });
  });

  it("cuts the title without splitting a character", () => {
    const { title } = toStoredChunk({ ...record, title: `${"x".repeat(limits.titleCharsMax - 1)}\u{1f600}` });
    expect(title).toBe("x".repeat(limits.titleCharsMax - 1));
  });

  it("keeps a metadata key named like the prototype", () => {
    const metadata = JSON.parse('{"__proto__":"x","constructor":"y"}');
    expect(Object.entries(toStoredChunk({ ...record, metadata }).metadata)).toEqual([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
  });

  it.each([
    ["store.text_too_long", { chunk: { ...record.chunk, text: "ä".repeat(limits.chunkBytesMax / 2 + 1) } }],
    ["store.source_too_long", { source: "ä".repeat(limits.sourceBytesMax / 2 + 1) }],
    ["store.metadata_too_large", { metadata: { a: "x".repeat(limits.metadataBytesMax) } }],
    ["store.metadata_invalid", { metadata: { a: Number.NaN } }],
  ])("refuses with %s", (code, change) => {
    expect(() => toStoredChunk({ ...record, ...change })).toThrow(expect.objectContaining({ code, retryable: false }));
  });
});

describe("checkVector", () => {
  it("refuses another dimension, another length than 1, and what is not finite", () => {
    expect(checkVector(new Float32Array([1, 0]), 2)).toHaveLength(2);
    for (const wrong of [
      [1, 0, 0],
      [0, 0],
      [1, 1],
      [0.9, 0],
      [1, Number.NaN],
      [1, Number.POSITIVE_INFINITY],
    ]) {
      expect(() => checkVector(new Float32Array(wrong), 2)).toThrow("must have 2 numbers and length 1");
    }
  });
});
