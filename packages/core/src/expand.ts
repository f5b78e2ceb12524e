import type { Span } from "./document.ts";
import { chunkIdOf } from "./identity.ts";
import { limits } from "./limits.ts";
import type { StoredHit, VectorStore } from "./ports.ts";
import type { ProjectName } from "./project.ts";
import type { StoredChunk } from "./stored-chunk.ts";

/** So many chunks before and after a hit, or the section that it stands in. */
export type Expansion = number | "section";

/** The text around a hit, the hit's own included. */
export interface HitContext {
  /** As long as its span. */
  readonly text: string;
  readonly span: Span;
  readonly firstOrdinal: number;
  readonly lastOrdinal: number;
  /** The section goes on beyond what is given: it is larger than `sectionChunksMax` chunks before and after the hit. */
  readonly cut: boolean;
}

/** Chunks read before and after a hit, at most. One more than a section may have there tells whether it goes on. */
export function chunksRead(expansion: Expansion): number {
  return expansion === "section" ? limits.sectionChunksMax + 1 : expansion;
}

/**
 * What stands around each hit, from chunks of the very generation that the ledger called live when the hit was found. Their keys follow from the hit's, so nothing is
 * searched for.
 * @returns by chunkId
 */
export async function contextsOf(
  project: ProjectName,
  hits: readonly StoredHit[],
  expansion: Expansion,
  store: Pick<VectorStore, "read">,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, HitContext>> {
  const reach = chunksRead(expansion);
  const keysOf = (hit: StoredHit): string[] =>
    Array.from({ length: 2 * reach + 1 }, (_, index) => hit.ordinal - reach + index)
      .filter((ordinal) => ordinal >= 0 && ordinal !== hit.ordinal)
      .map((ordinal) => chunkIdOf(project, hit.documentId, hit.generation, ordinal));
  const rows = await store.read(project, [...new Set(hits.flatMap(keysOf))], signal);
  const byOrdinal = new Map<string, Map<number, StoredChunk>>();
  for (const row of rows) {
    if (row.project !== project) continue;
    const version = `${row.documentId} ${row.generation}`;
    const chunks = byOrdinal.get(version) ?? new Map<number, StoredChunk>();
    byOrdinal.set(version, chunks.set(row.ordinal, row));
  }
  return new Map(
    hits.map((hit) => {
      const version = byOrdinal.get(`${hit.documentId} ${hit.generation}`) ?? new Map<number, StoredChunk>();
      return [hit.chunkId, contextOf(hit, version, expansion)];
    }),
  );
}

function contextOf(hit: StoredHit, version: ReadonlyMap<number, StoredChunk>, expansion: Expansion): HitContext {
  const countMax = expansion === "section" ? limits.sectionChunksMax : expansion;
  const belongs = (chunk: StoredChunk): boolean => expansion !== "section" || isInSection(chunk.headings, hit.headings);
  // A chunk that is missing ends the text: what comes after it would not follow.
  const walk = (step: 1 | -1): { readonly chunks: StoredChunk[]; readonly cut: boolean } => {
    const chunks: StoredChunk[] = [];
    for (let ordinal = hit.ordinal + step; ; ordinal += step) {
      const chunk = version.get(ordinal);
      if (chunk === undefined || !belongs(chunk)) return { chunks, cut: false };
      if (chunks.length === countMax) return { chunks, cut: true };
      chunks.push(chunk);
    }
  };
  const before = walk(-1);
  const after = walk(1);
  const chunks = [...before.chunks.reverse(), hit, ...after.chunks];
  return {
    text: mergeTexts(chunks, lineEnds),
    span: { start: chunks[0]?.span.start ?? hit.span.start, end: chunks.at(-1)?.span.end ?? hit.span.end },
    firstOrdinal: chunks[0]?.ordinal ?? hit.ordinal,
    lastOrdinal: chunks.at(-1)?.ordinal ?? hit.ordinal,
    cut: before.cut || after.cut,
  };
}

/** The section is what has the hit's heading path, sub-sections included. What stands before the first heading is a section of its own. */
function isInSection(headings: readonly string[], path: readonly string[]): boolean {
  return path.length === 0 ? headings.length === 0 : path.every((heading, index) => headings[index] === heading);
}

/** As many line ends as there were characters: the text is as long as its span. */
function lineEnds(characters: number): string {
  return "\n".repeat(characters);
}

/**
 * One text of chunks that follow each other. What two of them share stands once; between them there is nothing but white space, whose kind is not stored.
 * @param between what stands for so many characters of it
 */
export function mergeTexts(
  chunks: readonly { readonly text: string; readonly span: Span }[],
  between: (characters: number) => string,
): string {
  let text = "";
  let end = chunks[0]?.span.start ?? 0;
  for (const { text: next, span } of chunks) {
    if (span.end <= end) continue;
    text += span.start > end ? between(span.start - end) + next : next.slice(end - span.start);
    end = span.end;
  }
  return text;
}
