import fc from "fast-check";
import { expect, test } from "vitest";
import { chunkDocument } from "./chunk.ts";
import type { Block, ParsedDocument } from "./document.ts";
import { contextsOf, type Expansion, type HitContext } from "./expand.ts";
import { chunkIdOf } from "./identity.ts";
import { limits } from "./limits.ts";
import type { StoredHit, VectorStore } from "./ports.ts";
import { parseProjectName } from "./project.ts";
import { HashEmbedder } from "./reference/hash-embedder.ts";
import { MemoryVectorStore } from "./reference/memory-vector-store.ts";

const project = parseProjectName("mine");
const signal = new AbortController().signal;
const { tokens } = new HashEmbedder();

function documentOf(blocks: readonly (readonly [Block["kind"], string, number?])[]): ParsedDocument {
  let text = "";
  const placed = blocks.map(([kind, body, level]) => {
    if (text !== "") text += "\n\n";
    text += body;
    return { kind, start: text.length - body.length, end: text.length, ...(level === undefined ? {} : { level }) };
  });
  return { text, blocks: placed, metadata: {} };
}

function hitOf(own: Partial<StoredHit>): StoredHit {
  const facts = { source: "a.md", mediaType: "text/plain", title: "", ingestedAt: 0, metadata: {}, tokens: 3, score: 1 } as const;
  const where = { project, documentId: "d", generation: "g", ordinal: 0, headings: [], text: "", span: { start: 0, end: 0 } };
  const hit = { ...where, ...facts, ...own };
  return { chunkId: chunkIdOf(project, hit.documentId, hit.generation, hit.ordinal), ...hit };
}

/** The chunks of a document as hits, in a store. */
async function stored(document: ParsedDocument, tokensMax: number): Promise<{ hits: StoredHit[]; store: VectorStore }> {
  const chunks = chunkDocument(document, tokens, { tokensMax, tokensOverlap: 8, tokensMin: 4 });
  const store = new MemoryVectorStore(2);
  const hits = chunks.map((chunk) => hitOf(chunk));
  await store.upsert(
    hits.map((hit, index) => ({ ...hit, project, chunk: chunks[index] as (typeof chunks)[0], vector: Float32Array.of(1, 0) })),
    signal,
  );
  return { hits, store };
}

async function expanded(hit: StoredHit, expansion: Expansion, store: Pick<VectorStore, "read">): Promise<HitContext> {
  return (await contextsOf(project, [hit], expansion, store, signal)).get(hit.chunkId) as HitContext;
}

test("neighbours are the text of the document, nothing doubled and nothing left out", async () => {
  const sentence = fc.array(fc.constantFrom("mill", "river", "stone", "grinding", "水車", "🚰", "w".repeat(90)), {
    minLength: 1,
    maxLength: 30,
  });
  const kind = fc.constantFrom<Block["kind"]>("heading", "paragraph", "code");
  const block = fc.tuple(kind, sentence).map(([of, words]) => [of, `${words.join(of === "code" ? "\n  " : " ")}.`, 1] as const);
  await fc.assert(
    fc.asyncProperty(
      fc.array(block, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(),
      async (blocks, count, at) => {
        const document = documentOf(blocks);
        const { hits, store } = await stored(document, 32);
        const hit = hits[at % hits.length] as StoredHit;
        const { text, span, firstOrdinal, lastOrdinal } = await expanded(hit, count, store);
        expect([firstOrdinal, lastOrdinal]).toEqual([Math.max(0, hit.ordinal - count), Math.min(hits.length - 1, hit.ordinal + count)]);
        const original = document.text.slice(span.start, span.end);
        expect(text.length).toBe(original.length);
        expect(text.replace(/\s/g, " ")).toBe(original.replace(/\s/g, " "));
        expect(text.slice(hit.span.start - span.start, hit.span.end - span.start)).toBe(hit.text);
      },
    ),
    { numRuns: 200 },
  );
});

test("a section is what stands under the hit's headings, sub-sections included", async () => {
  const words = (name: string, count: number): string => `${Array.from({ length: count }, (_, index) => `${name}${index}`).join(" ")}.`;
  const { hits, store } = await stored(
    documentOf([
      ["paragraph", words("before", 40)],
      ["heading", "Mills", 1],
      ["paragraph", words("mills", 40)],
      ["heading", "Wheels", 2],
      ["paragraph", words("wheels", 40)],
      ["heading", "Spokes", 3],
      ["paragraph", words("spokes", 20)],
      ["heading", "Stones", 2],
      ["paragraph", words("stones", 500)],
    ]),
    32,
  );
  const around = async (word: string): Promise<HitContext> =>
    expanded(hits.find(({ text }) => text.includes(word)) as StoredHit, "section", store);
  const wheels = await around("wheels20");
  expect(wheels.text).toMatch(/^Wheels\n\nwheels0 [\s\S]*wheels39\.\n\nSpokes\n\nspokes0 [\s\S]*spokes19\.$/);
  expect(wheels.cut).toBe(false);
  expect((await around("spokes10")).text).toMatch(/^Spokes\n\nspokes0 [\s\S]*spokes19\.$/);
  expect((await around("before20")).text).toMatch(/^before0 [\s\S]*before39\.$/);
  const stones = await around("stones250");
  expect(stones.lastOrdinal - stones.firstOrdinal).toBe(2 * limits.sectionChunksMax);
  expect(stones.cut).toBe(true);
});

test("only chunks of the hit's own version in its own project stand around it, whatever the store gives", async () => {
  const hit = hitOf({ ordinal: 5, text: "5", span: { start: 10, end: 11 } });
  const next = { ordinal: 6, text: "6", span: { start: 12, end: 13 } };
  const asGiven = (own: Partial<StoredHit>): Promise<HitContext> => expanded(hit, 1, { read: async () => [hitOf({ ...next, ...own })] });
  expect((await asGiven({})).text).toBe("5\n6");
  expect((await asGiven({ project: "other" })).text).toBe("5");
  expect((await asGiven({ generation: "old" })).text).toBe("5");
  expect((await asGiven({ documentId: "e" })).text).toBe("5");
});

test("a chunk that is gone ends the text", async () => {
  const chunkAt = (ordinal: number): StoredHit =>
    hitOf({ ordinal, text: String(ordinal), span: { start: 2 * ordinal, end: 2 * ordinal + 1 } });
  const read: VectorStore["read"] = async () => [3, 4, 7].map(chunkAt);
  expect(await expanded(chunkAt(5), 2, { read })).toMatchObject({ text: "3\n4\n5", firstOrdinal: 3, lastOrdinal: 5 });
});
