import type { HitContext, SearchHit } from "@millrace/core";

/** The hits as they stand in the answer's `data`: bytes, as they go to the cache and to the socket. What was not asked for is left out. */
export function serialiseHits(hits: readonly SearchHit[]): Uint8Array {
  const data = JSON.stringify(
    hits.map((hit) => ({
      document_id: hit.documentId,
      source: hit.source,
      chunk_id: hit.chunkId,
      ordinal: hit.ordinal,
      page: hit.page ?? null,
      headings: hit.headings,
      title: hit.title,
      ingested_at: new Date(hit.ingestedAt).toISOString(),
      text: hit.text,
      span: hit.span,
      score: hit.score,
      standings: { dense: hit.dense ?? null, keyword: hit.keyword ?? null, retrieved: hit.retrieved },
      metadata: hit.metadata,
      highlights: hit.highlights,
      context: hit.context && contextJson(hit.context),
    })),
  );
  return Buffer.from(data);
}

function contextJson({ text, span, firstOrdinal, lastOrdinal, cut }: HitContext): Readonly<Record<string, unknown>> {
  return { text, span, first_ordinal: firstOrdinal, last_ordinal: lastOrdinal, cut };
}
