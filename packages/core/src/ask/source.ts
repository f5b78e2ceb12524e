import type { StoredHit } from "../ports.ts";
import type { LanguageModel } from "./language-model.ts";
import { type ChatMessage, promptFrameTokens } from "./prompt.ts";
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

/** What the model's window has left for sources; without a model, as many as it likes. */
export function sourceTokensMax(question: string, conversation: readonly ChatMessage[], model: LanguageModel | undefined): number {
  if (model === undefined) return Number.POSITIVE_INFINITY;
  const said = conversation.reduce((sum, { content }) => sum + estimateTokens(content), 0);
  return model.contextTokensMax - model.answerTokensMax - promptFrameTokens - estimateTokens(question) - said;
}

/** What an answer is made from, the same for the same chunks in whatever order. A chunk's key names the version of its document. */
export function evidenceOf(sources: readonly AnswerSource[]): string {
  return sources
    .map(({ chunkId }) => chunkId)
    .sort()
    .join(" ");
}

/** The lines that fence a source in the prompt. */
const fenceTokens = 60;

function sourceTokens({ text, source, headings }: StoredHit): number {
  return estimateTokens(text) + estimateTokens(source) + estimateTokens(headings.join(" ")) + fenceTokens;
}
