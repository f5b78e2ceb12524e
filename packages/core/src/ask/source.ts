import type { StoredHit } from "../ports.ts";
import { estimateTokens } from "./tokens.ts";

/** A retrieved chunk with the number under which an answer cites it. */
export interface AnswerSource {
  /** 1-based. */
  readonly n: number;
  readonly documentId: string;
  readonly generation: string;
  readonly chunkId: string;
  readonly source: string;
  readonly page?: number;
  readonly headings: readonly string[];
  readonly title: string;
  readonly text: string;
  readonly score: number;
}

/**
 * Numbers the hits, best first, as far as they fit into `tokensMax`; a hit that does not fit ends the list, so that a worse one never takes a
 * better one's place. The same text is a source once, wherever it was found.
 */
export function selectSources(hits: readonly StoredHit[], tokensMax: number): AnswerSource[] {
  const sources: AnswerSource[] = [];
  const texts = new Set<string>();
  let tokens = 0;
  for (const hit of hits) {
    if (texts.has(hit.text)) continue;
    tokens += sourceTokens(hit);
    if (tokens > tokensMax) break;
    texts.add(hit.text);
    const { documentId, generation, chunkId, source, page, headings, title, text, score } = hit;
    sources.push({
      n: sources.length + 1,
      ...{ documentId, generation, chunkId, source, headings, title, text, score },
      ...(page === undefined ? {} : { page }),
    });
  }
  return sources;
}

/** The lines that fence a source in the prompt. */
const fenceTokens = 60;

function sourceTokens({ text, source, headings }: StoredHit): number {
  return estimateTokens(text) + estimateTokens(source) + estimateTokens(headings.join(" ")) + fenceTokens;
}
