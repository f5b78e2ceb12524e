import type { Answer, AnswerSource, Citation } from "@millrace/core";

type Json = Readonly<Record<string, unknown>>;

/** The answer as it goes over the wire. `timings_ms` where they were asked for. */
export function answerJson(answer: Answer, tookMs: number, timings: Readonly<Record<string, number>> | undefined): Json {
  return {
    object: "answer",
    answer: answer.answer,
    citations: answer.citations.map(citationJson),
    mode: answer.mode,
    reason: answer.reason ?? null,
    truncated: answer.truncated,
    model: answer.model ?? null,
    usage: usageJson(answer.usage),
    cache: "miss",
    took_ms: tookMs,
    ...(timings === undefined ? {} : { timings_ms: timings }),
  };
}

export function usageJson({ promptTokens, completionTokens }: Answer["usage"]): Json {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens };
}

export function citationJson({ n, documentId, source, page, chunkId, quote }: Citation): Json {
  return { n, document_id: documentId, source, page: page ?? null, chunk_id: chunkId, quote };
}

export function sourceJson({ n, documentId, source, page, chunkId, headings, title, score }: AnswerSource): Json {
  return { n, document_id: documentId, source, page: page ?? null, chunk_id: chunkId, headings, title, score };
}
