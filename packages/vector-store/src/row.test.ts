import { type ChunkRecord, parseProjectName } from "@millrace/core";
import { describe, expect, it } from "vitest";
import { toHit, toRow } from "./row.ts";

const project = parseProjectName("p");
const record: ChunkRecord = {
  chunkId: "c",
  project,
  documentId: "d",
  generation: "g",
  source: "s.md",
  mediaType: "text/markdown",
  title: "t",
  ingestedAt: 1_760_000_000_000,
  metadata: JSON.parse('{"a":"x","n":1,"b":true,"l":["y"],"__proto__":"z"}'),
  chunk: { ordinal: 3, text: "text", span: { start: 1, end: 5 }, tokens: 4, headings: ["h"] },
  vector: Float32Array.of(0.6, 0.8),
};

describe("rows", () => {
  it("keep metadata by type", () => {
    const metadata = JSON.stringify(toRow(record, 2).metadata);
    expect(metadata).toBe('{"s":{"a":"x","__proto__":"z"},"n":{"n":1},"b":{"b":true},"l":{"l":["y"]}}');
  });

  it("come back as they went in", () => {
    const { chunk, vector: _, ...facts } = record;
    expect(toHit({ ...toRow(record, 2), score: 0.5 }, project)).toEqual({ ...facts, ...chunk, score: 0.5 });
  });

  it("of another project fail the whole answer", () => {
    expect(() => toHit({ ...toRow(record, 2), score: 1 }, parseProjectName("other"))).toThrow(
      expect.objectContaining({ code: "store.foreign_row" }),
    );
  });
});
