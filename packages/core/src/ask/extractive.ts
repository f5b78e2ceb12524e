import { dot } from "../dot.ts";
import type { EmbedPurpose } from "../ports.ts";
import { citationOf, type FilteredText } from "./answer-filter.ts";
import { LinkPolicy } from "./links.ts";
import { contentWords, sentencesOf } from "./sentences.ts";
import type { AnswerSource } from "./source.ts";

/** One vector per text, all of one space. */
type Embed = (texts: readonly string[], purpose: EmbedPurpose) => Promise<readonly Float32Array[]>;

const sourcesMax = 5;
const sentencesPerSourceMax = 12;
const sentencesMax = 4;
/** A sentence whose score is below this part of the best one's tells something else. */
const shareOfBestMin = 0.7;
/** Cosine similarity and share of common words together; what is below is about something else. */
const relevanceMin = 0.25;

interface Candidate {
  readonly source: AnswerSource;
  readonly sentence: string;
  readonly position: number;
  readonly relevance: number;
  readonly score: number;
}

/**
 * An answer without a language model: the sentences of the best sources that are nearest to the question by meaning and by words, in the order
 * of their sources, each with its citation. They are verbatim, so nothing in them is made up. Empty when
 * no sentence is about the question.
 * @throws what `embed` throws
 */
export async function extractAnswer(question: string, sources: readonly AnswerSource[], embed: Embed): Promise<FilteredText> {
  const sentences = sources.slice(0, sourcesMax).flatMap((source) =>
    sentencesOf(source.text)
      .slice(0, sentencesPerSourceMax)
      .map((sentence, position) => ({ source, sentence, position })),
  );
  const texts = sentences.map(({ sentence }) => sentence);
  const [[asked = new Float32Array()], vectors] = await Promise.all([embed([question], "query"), embed(texts, "document")]);
  const words = new Set(contentWords(question));
  const candidates = sentences.map((each, index): Candidate => {
    const own = contentWords(each.sentence);
    const shared = new Set(own.filter((word) => words.has(word))).size / Math.max(1, words.size);
    // A heading repeats the question's words and answers nothing.
    const weight = own.length < 4 || /^#/.test(each.sentence) ? 0.5 : 1;
    const relevance = dot(asked, vectors[index] ?? new Float32Array()) + shared;
    return { ...each, relevance, score: weight * relevance };
  });
  const ranked = candidates.filter(({ relevance }) => relevance >= relevanceMin).sort((a, b) => b.score - a.score);
  const floor = (ranked[0]?.score ?? 0) * shareOfBestMin;
  const chosen = withoutRepeats(ranked.filter(({ score }) => score >= floor)).slice(0, sentencesMax);
  const ordered = chosen.sort((a, b) => a.source.n - b.source.n || a.position - b.position);
  const links = new LinkPolicy(sources.map(({ text }) => text));
  const firstOf = new Map(ordered.toReversed().map((candidate) => [candidate.source.n, candidate]));
  return {
    // As a whole: where a sentence ends is a guess, and an image may be cut in two by it.
    text: links.clean(ordered.map(({ sentence, source }) => `${sentence.replace(/\s+/g, " ")} [${source.n}]`).join("\n")),
    citations: [...firstOf.values()].reverse().map(({ source, sentence }) => citationOf(source, sentence)),
  };
}

/** Neighbouring chunks overlap: the same sentence comes from both. */
function withoutRepeats(candidates: readonly Candidate[]): Candidate[] {
  const seen = new Set<string>();
  return candidates.filter(({ sentence }) => !seen.has(sentence) && seen.add(sentence));
}
