import type { Answer, AskRequest, Citation, SourceSummary } from "@millrace/core";
import type { TimedAnswer } from "./answering.ts";

type Json = Readonly<Record<string, unknown>>;

/** The answer as it goes over the wire. `timings_ms` where they were asked for. */
export function answerJson({ sessionId }: AskRequest, answered: TimedAnswer, traced: boolean): Json {
  const { answer, cache, standaloneQuestion, tookMs, timings } = answered;
  return {
    object: "answer",
    answer: answer.answer,
    citations: answer.citations.map(citationJson),
    mode: answer.mode,
    reason: answer.reason ?? null,
    truncated: answer.truncated,
    model: answer.model ?? null,
    usage: usageJson(answer.usage),
    session_id: sessionId ?? null,
    standalone_question: standaloneQuestion ?? null,
    cache,
    took_ms: tookMs,
    ...(traced ? { timings_ms: timings } : {}),
  };
}

export function usageJson({ promptTokens, completionTokens }: Answer["usage"]): Json {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens };
}

export function citationJson({ n, documentId, source, page, chunkId, quote }: Citation): Json {
  return { n, document_id: documentId, source, page: page ?? null, chunk_id: chunkId, quote };
}

export function sourceJson({ n, documentId, source, page, chunkId, headings, title, score }: SourceSummary): Json {
  return { n, document_id: documentId, source, page: page ?? null, chunk_id: chunkId, headings, title, score };
}
