import {
  type ChunkRecord,
  chunkIdOf,
  documentIdOf,
  type Filter,
  type FilterValue,
  type MediaType,
  type Metadata,
  matchesFilter,
  parseFilter,
  parseProjectName,
  type StoredHit,
  toStoredChunk,
  type VectorStore,
} from "@millrace/core";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/**
 * What every vector store must do. Each test works in projects of its own in one store, which is also how stores are used.
 * @param make opens an empty store for vectors of the given dimension
 */
export function describeVectorStore(
  name: string,
  make: (dimension: number) => Promise<{ readonly store: VectorStore; close(): Promise<void> }>,
): void {
  describe(name, () => {
    let store: VectorStore;
    let close = async (): Promise<void> => undefined;
    const signal = new AbortController().signal;

    beforeAll(async () => {
      ({ store, close } = await make(dimension));
    });
    afterAll(() => close());

    const search = (project: string, vector: Float32Array, limit: number, filter?: Filter): Promise<StoredHit[]> =>
      store.search({ project: parseProjectName(project), vector, limit, ...(filter === undefined ? {} : { filter }) }, signal);
    const searchKeywords = (project: string, text: string, limit: number, filter?: Filter): Promise<StoredHit[]> =>
      store.searchKeywords({ project: parseProjectName(project), text, limit, ...(filter === undefined ? {} : { filter }) }, signal);
    const existing = (project: string, records: readonly ChunkRecord[]): Promise<ReadonlySet<string>> =>
      store.existing(parseProjectName(project), idsOf(records), signal);

    it("gives back what was put in, at once", async () => {
      const record = recordOf("roundtrip", 0, {
        source: "docs/guide.md",
        title: "The guide",
        mediaType: "application/pdf",
        metadata: { author: "Ann", year: 2024, ratio: 0.1, big: 2 ** 60, negative: -1.5e-9, draft: false, tags: ["a", "b"], none: [] },
        page: 7,
        headings: ["Part I", "Chapter 2"],
      });
      await store.upsert([record], signal);
      const [hit] = await search("roundtrip", record.vector, 1);
      expect(hit).toEqual({ ...toStoredChunk(record), score: expect.closeTo(1, 5) });
    });

    it("reads rows back by key, of the own project only", async () => {
      const record = recordOf("read", 0, { page: 3 });
      const foreign = recordOf("read-foreign", 0);
      await store.upsert([record, foreign], signal);
      const ids = [...idsOf([record, foreign]), "absent"];
      expect(await store.read(parseProjectName("read"), ids, signal)).toEqual([toStoredChunk(record)]);
    });

    it("gives back texts and vectors by key, of the own project only", async () => {
      const records = [recordOf("vectors", 0), recordOf("vectors", 1)];
      const foreign = recordOf("vectors-foreign", 0);
      await store.upsert([...records, foreign], signal);
      const found = await store.vectors(parseProjectName("vectors"), [...idsOf(records), ...idsOf([foreign]), "absent"], signal);
      const byKey = new Map(found.map((row) => [row.chunkId, row]));
      expect([...byKey.keys()].sort()).toEqual([...idsOf(records)].sort());
      for (const record of records) {
        const { chunkId, title, chunk, vector } = record;
        expect(byKey.get(chunkId)).toEqual({ chunkId, title, headings: chunk.headings, text: chunk.text, vector });
      }
    });

    it("scans every row of a project once", async () => {
      const records = Array.from({ length: 300 }, (_, ordinal) => recordOf("scanned", ordinal));
      await store.upsert([...records, recordOf("scanned-foreign", 0)], signal);
      const seen: string[] = [];
      for await (const rows of store.scan(parseProjectName("scanned"), signal)) {
        for (const row of rows) {
          const { documentId, generation, chunk } =
            records.find(({ chunkId }) => chunkId === row.chunkId) ?? records[0] ?? recordOf("scanned", 0);
          expect(row).toMatchObject({ documentId, generation, ordinal: chunk.ordinal });
          seen.push(row.chunkId);
        }
      }
      expect(seen.sort()).toEqual([...idsOf(records)].sort());
    });

    it("leaves out the page where there is none", async () => {
      const record = recordOf("pageless", 0);
      await store.upsert([record], signal);
      const [hit] = await search("pageless", record.vector, 1);
      expect(hit).not.toHaveProperty("page");
    });

    it("overwrites by key and may be repeated", async () => {
      const before = recordsOf("overwrite", 5);
      await store.upsert(before, signal);
      await store.upsert(before, signal);
      const changed = { ...before[2], source: "renamed.md", metadata: { only: "this" } } as ChunkRecord;
      await store.upsert([changed], signal);
      const hits = await search("overwrite", changed.vector, 20);
      expect(hits.map((hit) => hit.chunkId).sort()).toEqual(idsOf(before).sort());
      expect(hits[0]).toMatchObject({ chunkId: changed.chunkId, source: "renamed.md", metadata: { only: "this" } });
    });

    it("orders and scores as exact search does", async () => {
      const records = recordsOf("exact", 500);
      await store.upsert(records, signal);
      for (const query of recordsOf("queries", 10)) {
        const expected = records.map((record) => dot(query.vector, record.vector)).sort((a, b) => b - a);
        const hits = await search("exact", query.vector, 50);
        expect(hits).toHaveLength(50);
        const byId = new Map(records.map((record) => [record.chunkId, record]));
        hits.forEach((hit, rank) => {
          expect(Math.abs(hit.score - (expected[rank] ?? Number.NaN))).toBeLessThan(1e-3);
          expect(Math.abs(hit.score - dot(query.vector, byId.get(hit.chunkId)?.vector ?? new Float32Array()))).toBeLessThan(1e-3);
        });
      }
    });

    it("returns fewer than asked for only when there are no more", async () => {
      const records = recordsOf("few", 3);
      await store.upsert(records, signal);
      expect(await search("few", vectorOf("x"), 200)).toHaveLength(3);
      expect(await search("few", vectorOf("x"), 2)).toHaveLength(2);
      expect(await search("nobody", vectorOf("x"), 10)).toEqual([]);
    });

    it("keeps projects apart", async () => {
      const mine = recordsOf("mine", 20);
      const theirs = recordsOf("theirs", 20);
      await store.upsert([...mine, ...theirs], signal);
      const hits = await search("mine", theirs[0]?.vector ?? vectorOf("x"), 200);
      expect(hits.map((hit) => hit.chunkId).sort()).toEqual(idsOf(mine).sort());
      const everything = parseFilter({ type: "or", filters: [{ type: "ne", key: "source", value: "" }] });
      expect(await search("mine", vectorOf("x"), 200, everything)).toHaveLength(20);
      expect(await existing("mine", theirs)).toEqual(new Set());
      await store.delete(parseProjectName("mine"), idsOf(theirs), signal);
      expect(await existing("theirs", theirs)).toEqual(new Set(idsOf(theirs)));
    });

    it("tells which keys exist and deletes by key", async () => {
      const records = recordsOf("keys", 30);
      const absent = recordsOf("keys", 40).slice(30);
      await store.upsert(records, signal);
      expect(await existing("keys", [...records, ...absent])).toEqual(new Set(idsOf(records)));
      expect(await existing("keys", [])).toEqual(new Set());
      const project = parseProjectName("keys");
      await store.delete(project, [...idsOf(records.slice(0, 10)), ...idsOf(absent)], signal);
      await store.delete(project, [], signal);
      expect(await existing("keys", records)).toEqual(new Set(idsOf(records.slice(10))));
      expect((await search("keys", vectorOf("x"), 200)).map((hit) => hit.chunkId).sort()).toEqual(idsOf(records.slice(10)).sort());
      await store.upsert(records.slice(0, 1), signal);
      expect(await existing("keys", records.slice(0, 1))).toEqual(new Set(idsOf(records.slice(0, 1))));
    });

    it("finds by words, inflected forms included, rare words before common ones", async () => {
      const texts = ["a turbine blade and a turbine wheel", "the blades of an engine", "an engine and its wheel", "nothing of the kind"];
      const records = texts.map((text, index) => recordOf("words", index, { text }));
      await store.upsert(records, signal);
      expect(ordinalsOf(await searchKeywords("words", "turbines", 10))).toEqual([0]);
      expect(ordinalsOf(await searchKeywords("words", "Blade!", 10)).sort()).toEqual([0, 1]);
      const hits = await searchKeywords("words", "turbine engine", 10);
      expect(hits.map((hit) => hit.ordinal)[0]).toBe(0);
      expect(ordinalsOf(hits).sort()).toEqual([0, 1, 2]);
      expect(hits.map((hit) => hit.score)).toEqual(hits.map((hit) => hit.score).sort((a, b) => b - a));
      expect(hits.every((hit) => hit.score > 0)).toBe(true);
      expect(hits.map(({ score, ...chunk }) => chunk)).toEqual(
        hits.map((hit) => toStoredChunk(records[hit.ordinal] ?? recordOf("words", 0))),
      );
      expect(ordinalsOf(await searchKeywords("words", "turbine engine", 1))).toEqual([0]);
      for (const nothing of ["absent", "!?", "of the"]) expect(ordinalsOf(await searchKeywords("words", nothing, 10))).not.toContain(2);
    });

    it("finds by words of the title, of headings, with diacritics, and of scripts without spaces", async () => {
      const project = "scripts";
      const records = [
        recordOf(project, 0, { text: "See below.", title: "Zygomorphic flowers", headings: ["Orchids"] }),
        recordOf(project, 1, { text: "Le café est fermé, naïve Ångström" }),
        recordOf(project, 2, { text: "私は東京都に住んでいます" }),
        recordOf(project, 3, { text: "Быстрая лисица snake_case_name" }),
      ];
      await store.upsert(records, signal);
      for (const [text, ordinal] of [
        ["zygomorphic", 0],
        ["orchid", 0],
        ["cafe ferme", 1],
        ["ÅNGSTRÖM", 1],
        ["東京", 2],
        ["ЛИСИЦА", 3],
        ["case", 3],
      ] as const) {
        expect(ordinalsOf(await searchKeywords(project, text, 10)), text).toEqual([ordinal]);
      }
    });

    it("keeps projects apart and obeys filters in a search by words", async () => {
      const mine = [
        recordOf("words-mine", 0, { text: "shared words", title: "a" }),
        recordOf("words-mine", 1, { text: "shared words", title: "b" }),
      ];
      await store.upsert([...mine, recordOf("words-theirs", 0, { text: "shared words" })], signal);
      expect((await searchKeywords("words-mine", "shared", 200)).map((hit) => hit.chunkId).sort()).toEqual([...idsOf(mine)].sort());
      const filter = parseFilter({ type: "eq", key: "title", value: "b" });
      expect(ordinalsOf(await searchKeywords("words-mine", "shared", 200, filter))).toEqual([1]);
      expect(await searchKeywords("words-nobody", "shared", 10)).toEqual([]);
      for (const hostile of ['" or project != "', "words-theirs", "project"]) {
        for (const hit of await searchKeywords("words-mine", hostile, 200)) expect(hit.project).toBe("words-mine");
      }
    });

    it("keeps hostile strings as they are, in every field", async () => {
      const records = hostileStrings.map((text, index) =>
        recordOf("hostile", index, {
          source: `${index}${text}`,
          title: text,
          text,
          headings: [text, text],
          metadata: { a: text, l: [text] },
        }),
      );
      await store.upsert(records, signal);
      const hits = await search("hostile", vectorOf("x"), 200);
      const byId = new Map(hits.map(({ score, ...hit }) => [hit.chunkId, hit]));
      for (const record of records) expect(byId.get(record.chunkId)).toEqual(toStoredChunk(record));
    });

    it("finds hostile strings, and only them, by a filter", async () => {
      const wellFormed = hostileStrings.filter((text) => text !== "" && !/\p{Surrogate}/u.test(text));
      const records = wellFormed.map((text, index) => recordOf("injection", index, { title: text, metadata: { a: text, l: [text, "x"] } }));
      await store.upsert(records, signal);
      for (const [index, value] of wellFormed.entries()) {
        for (const key of ["title", "metadata.a", "metadata.l"]) {
          const filters = [parseFilter({ type: "eq", key, value }), parseFilter({ type: "in", key, value: [value] })];
          for (const filter of filters) {
            const hits = await search("injection", vectorOf("x"), 200, filter);
            expect(hits.map((hit) => hit.chunkId)).toEqual([records[index]?.chunkId]);
          }
        }
      }
    });

    it("keeps 64 KB of text, emoji and other scripts", async () => {
      const texts = ["x".repeat(65_535), "😀".repeat(16_383), "漢字かな".repeat(5_461), "a\u0301\u200d\u202e\ufeff"];
      const records = texts.map((text, index) => recordOf("large", index, { text }));
      await store.upsert(records, signal);
      const hits = await search("large", vectorOf("x"), 10);
      expect(new Set(hits.map((hit) => hit.text))).toEqual(new Set(texts));
    });

    it("refuses what it cannot keep, and the rest of its batch", async () => {
      const records = recordsOf("refused", 3);
      const tooLong = { ...recordOf("refused", 9), source: "x".repeat(1_025) };
      await expect(store.upsert([tooLong, ...records], signal)).rejects.toMatchObject({ code: "store.source_too_long" });
      const notFinite = { ...recordOf("refused", 9), vector: new Float32Array(dimension).fill(Number.NaN) };
      await expect(store.upsert([notFinite], signal)).rejects.toMatchObject({ code: "store.vector_invalid" });
      await expect(search("refused", new Float32Array(dimension + 1), 1)).rejects.toMatchObject({ code: "store.vector_invalid" });
      expect(await existing("refused", [tooLong])).toEqual(new Set());
    });

    it.each(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"] as const)(
      "agrees with the reference on %s for every key and type",
      async (type) => {
        const values: FilterValue[] = ["b", "", 2, 2.5, -1, 0, 1, true, false, "é", "\u{1f600}"];
        const metadata: Metadata[] = values.map((value) => ({ k: value }));
        metadata.push({}, { k: ["b", "é"] }, { k: [] }, { other: "b" });
        const project = `op-${type}`;
        const records = metadata.map((facts, index) =>
          recordOf(project, index, { metadata: facts, title: String(facts["k"] ?? ""), ...(index % 3 === 0 ? {} : { page: index }) }),
        );
        await store.upsert(records, signal);
        const chunks = records.map(toStoredChunk);
        for (const [key, candidates] of [
          ["metadata.k", values],
          ["title", ["b", "", "é", "\ufffd"]],
          ["page", [0, 1, 5]],
        ] as const) {
          for (const value of candidates) {
            if (typeof value === "boolean" && !["eq", "ne", "in", "nin"].includes(type)) continue;
            const filter = parseFilter({
              type,
              key,
              value: type === "in" || type === "nin" ? [value, "never"].slice(0, key === "page" ? 1 : 2) : value,
            });
            const expected = chunks.filter((chunk) => matchesFilter(filter, chunk)).map((chunk) => chunk.chunkId);
            const hits = await search(project, vectorOf("x"), 200, filter);
            expect(hits.map((hit) => hit.chunkId).sort(), JSON.stringify(filter)).toEqual(expected.sort());
          }
        }
      },
    );

    it("takes the largest filter that is allowed", async () => {
      const records = recordsOf("largest", 4).map((record, index) => ({ ...record, metadata: { k: `v${index}` } }));
      await store.upsert(records, signal);
      const values = Array.from({ length: 256 }, (_, index) => `${index}`.padStart(512, '"'));
      const wide = parseFilter({ type: "nin", key: "metadata.k", value: [...values.slice(1), "v3"] });
      expect(await search("largest", vectorOf("x"), 10, wide)).toHaveLength(3);
      const deep = (depth: number): unknown =>
        depth === 1 ? { type: "eq", key: "metadata.k", value: "v1" } : { type: depth % 2 === 0 ? "and" : "or", filters: [deep(depth - 1)] };
      expect(await search("largest", vectorOf("x"), 10, parseFilter(deep(8)))).toHaveLength(1);
      const conditions = Array.from({ length: 64 }, (_, index) => ({ type: "eq", key: `metadata.key${index}`, value: "x" }));
      conditions[63] = { type: "eq", key: "metadata.k", value: "v2" };
      expect(await search("largest", vectorOf("x"), 10, parseFilter({ type: "or", filters: conditions }))).toHaveLength(1);
    });

    it("rejects with the reason when aborted", async () => {
      const reason = new Error("enough");
      const aborted = AbortSignal.abort(reason);
      const records = recordsOf("aborted", 2);
      const project = parseProjectName("aborted");
      await expect(store.upsert(records, aborted)).rejects.toBe(reason);
      await expect(store.existing(project, idsOf(records), aborted)).rejects.toBe(reason);
      await expect(store.search({ project, vector: vectorOf("x"), limit: 1 }, aborted)).rejects.toBe(reason);
      await expect(store.searchKeywords({ project, text: "chunk", limit: 1 }, aborted)).rejects.toBe(reason);
      await expect(store.delete(project, idsOf(records), aborted)).rejects.toBe(reason);
      expect(await existing("aborted", records)).toEqual(new Set());
    });

    // Last, because the rows of deleted records slow Lite down until they are compacted.
    it("writes 10,000 records in one call", async () => {
      const records = recordsOf("many", 10_000);
      await store.upsert(records, signal);
      expect(await existing("many", records)).toEqual(new Set(idsOf(records)));
      for (const record of [records[0], records[4_999], records[9_999]]) {
        const [hit] = await search("many", record?.vector ?? vectorOf("x"), 1);
        expect(hit?.chunkId).toBe(record?.chunkId);
      }
      await store.delete(parseProjectName("many"), idsOf(records), signal);
      expect(await existing("many", records)).toEqual(new Set());
      expect(await search("many", vectorOf("x"), 5)).toEqual([]);
    });
  });

  describe(`${name}, filtered`, () => {
    let store: VectorStore;
    let close = async (): Promise<void> => undefined;
    const signal = new AbortController().signal;
    const project = parseProjectName("filters");
    const records = fc.sample(filterableRecord, { seed, numRuns: 40 }).map((fields, index) => recordOf(project, index, fields));

    // A store of its own: what else there is, costs each filter time on Lite.
    beforeAll(async () => {
      ({ store, close } = await make(dimension));
      const foreign = records.slice(0, 16).map((record, index) => recordOf("filters-of-others", index, { metadata: record.metadata }));
      await store.upsert([...records, ...foreign], signal);
    });
    afterAll(() => close());

    it("agrees with the reference on every filter", { timeout: 3_600_000 }, async () => {
      const chunks = records.map(toStoredChunk);
      let matching = 0;
      const agree = async (tree: unknown): Promise<void> => {
        const filter = parseFilter(tree);
        const expected = chunks.filter((chunk) => matchesFilter(filter, chunk)).map((chunk) => chunk.chunkId);
        const hits = await store.search({ project, vector: vectorOf("filters"), limit: records.length * 2, filter }, signal);
        matching += expected.length > 0 && expected.length < records.length ? 1 : 0;
        expect(hits.map((hit) => hit.chunkId).sort(), JSON.stringify(tree)).toEqual(expected.sort());
      };
      for (let from = 0; from < filterRuns; from += filtersPerDraw) {
        const trees = fc.sample(filterTree, { seed: seed + from, numRuns: Math.min(filtersPerDraw, filterRuns - from) });
        // Some at once: the store and this process take turns.
        const left = trees.values();
        await Promise.all(
          Array.from({ length: 6 }, async () => {
            for (const tree of left) await agree(tree);
          }),
        );
      }
      console.log(`${name}: ${filterRuns} filters (seed ${seed}) over ${records.length} rows; ${matching} of them divide the rows`);
      // Filters that match nothing or everything would prove little.
      expect(matching).toBeGreaterThan(filterRuns / 2);
    });
  });
}

const seed = Number(process.env["MILLRACE_FILTER_SEED"] ?? 20_261_101);
/** Random filters compared with the reference evaluator; 100,000 in the long form. */
const filterRuns = Number(process.env["MILLRACE_FILTER_RUNS"] ?? 400);
const filtersPerDraw = 1_000;
const dimension = 16;

const hostileStrings: readonly string[] = [
  "",
  '" or project != "',
  "' or project != '",
  '\\" or true or \\"',
  "\\",
  "ends with a backslash\\",
  '\\\\"',
  'a"b',
  "a'b",
  "line\nbreak",
  "carriage\rreturn",
  "tab\there",
  "nul\u0000inside",
  "bell\u0007 escape\u001b delete\u007f",
  "next line\u0085 separator\u2028\u2029",
  "\\u0041 \\x41 \\101 \\n \\t",
  "{value} $meta $x %s %25 _ * ?",
  "]) or (true",
  "// comment /* */ # --",
  "\ud800 lone surrogates \udc00",
  "\u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u202eright to left",
  " leading and trailing ",
  "NULL",
  "true",
  "0",
];

/** Metadata of few keys with few values of every type, so that generated filters meet them. */
const metadataKeys = ["a", "b", "year", "x-1", "constructor", "__proto__"] as const;
const someString = fc.constantFrom("a", "b", "ab", "", "é", "\ufffd", "\u{1f600}", 'q"\\', "1", "true");
const someNumber = fc.constantFrom(0, 1, -1, 2, 2.5, 1e21, -1e-7, 2024);
const someScalar: fc.Arbitrary<FilterValue> = fc.oneof(someString, someNumber, fc.boolean());
const someMetadata: fc.Arbitrary<Metadata> = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...metadataKeys), fc.oneof(someScalar, fc.array(someString, { maxLength: 3 }))), {
    selector: ([key]) => key,
    maxLength: 5,
  })
  .map((entries) => Object.fromEntries(entries));
const someTime = fc.constantFrom(0, 1_750_000_000_000, 1_750_000_000_001, 1_780_000_000_000);
const filterableRecord = fc.record({
  source: fc.constantFrom("a.md", "b.md", "é.md", "c/d.pdf", "c/\u{10ffff}", "\ud7ff"),
  ingestedAt: someTime,
  mediaType: fc.constantFrom<MediaType>("text/markdown", "text/plain", "application/pdf"),
  title: someString,
  metadata: someMetadata,
  page: fc.constantFrom(undefined, 1, 2, 3),
});

const stringKey = fc.constantFrom("source", "media_type", "title", "document_id");
const stringKeyValue = fc.oneof(someString, fc.constantFrom("a.md", "b.md", "text/plain", "application/pdf"));
const metadataKey = fc.constantFrom(...metadataKeys, "absent").map((key) => `metadata.${key}`);
const prefix = fc.constantFrom("", "a", "a.md", "c/", "c/\u{10ffff}", "\u{10ffff}", "\ud7ff", "é", "%", "a.md.");
const pageValue = fc.constantFrom(0, 1, 2, 3);
const anyOrder = fc.constantFrom("eq", "ne", "gt", "gte", "lt", "lte");
const membership = fc.constantFrom("in", "nin");
const condition = fc.oneof(
  fc.record({ type: anyOrder, key: stringKey, value: stringKeyValue }),
  fc.record({ type: membership, key: stringKey, value: fc.array(stringKeyValue, { minLength: 1, maxLength: 3 }) }),
  fc.record({ type: fc.constantFrom("eq", "ne"), key: fc.constant("source_prefix"), value: prefix }),
  fc.record({ type: membership, key: fc.constant("source_prefix"), value: fc.array(prefix, { minLength: 1, maxLength: 3 }) }),
  fc.record({ type: anyOrder, key: fc.constant("ingested_at"), value: someTime }),
  fc.record({ type: membership, key: fc.constant("ingested_at"), value: fc.array(someTime, { minLength: 1, maxLength: 3 }) }),
  fc.record({ type: anyOrder, key: fc.constant("page"), value: pageValue }),
  fc.record({ type: membership, key: fc.constant("page"), value: fc.array(pageValue, { minLength: 1, maxLength: 3 }) }),
  fc.record({ type: anyOrder, key: metadataKey, value: fc.oneof(someString, someNumber) }),
  fc.record({ type: fc.constantFrom("eq", "ne"), key: metadataKey, value: fc.boolean() }),
  fc.record({ type: membership, key: metadataKey, value: fc.array(someScalar, { minLength: 1, maxLength: 4 }) }),
);
const filterTree = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    condition,
    fc.record({ type: fc.constantFrom("and", "or"), filters: fc.array(tie("tree"), { minLength: 1, maxLength: 4 }) }),
  ),
})).tree;

interface RecordFields {
  readonly source?: string;
  readonly mediaType?: MediaType;
  readonly title?: string;
  readonly ingestedAt?: number;
  readonly text?: string;
  readonly metadata?: Metadata;
  readonly page?: number | undefined;
  readonly headings?: readonly string[];
}

function recordsOf(projectName: string, count: number): ChunkRecord[] {
  return Array.from({ length: count }, (_, ordinal) => recordOf(projectName, ordinal));
}

/** The same record for the same arguments. */
function recordOf(projectName: string, ordinal: number, fields: RecordFields = {}): ChunkRecord {
  const project = parseProjectName(projectName);
  const source = fields.source ?? `document-${ordinal % 7}.md`;
  const documentId = documentIdOf(project, source);
  const text = fields.text ?? `chunk ${ordinal} of ${projectName}`;
  return {
    chunkId: chunkIdOf(project, documentId, "generation-1", ordinal),
    project,
    documentId,
    generation: "generation-1",
    source,
    mediaType: fields.mediaType ?? "text/markdown",
    title: fields.title ?? `Document ${ordinal % 7}`,
    ingestedAt: fields.ingestedAt ?? 1_760_000_000_000 + ordinal,
    metadata: fields.metadata ?? {},
    chunk: {
      ordinal,
      text,
      span: { start: ordinal * 100, end: ordinal * 100 + text.length },
      tokens: 12,
      headings: fields.headings ?? [],
      ...(fields.page === undefined ? {} : { page: fields.page }),
    },
    vector: vectorOf(`${projectName}/${ordinal}`),
  };
}

function idsOf(records: readonly ChunkRecord[]): string[] {
  return records.map((record) => record.chunkId);
}

function ordinalsOf(hits: readonly StoredHit[]): number[] {
  return hits.map((hit) => hit.ordinal);
}

/** A unit vector that depends on the name alone. */
function vectorOf(name: string): Float32Array {
  // FNV-1a seeds a xorshift generator.
  let state = 0x811c9dc5;
  for (const character of name) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193);
  const vector = Float32Array.from({ length: dimension }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  });
  const length = Math.sqrt(dot(vector, vector));
  return vector.map((value) => value / length);
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
}
