import { limits } from "@millrace/core";
import { documentStates } from "@millrace/ledger";
import { z } from "zod";

/** What each tool takes and gives, as its client is told and as both are checked. */
const topK = (byDefault: number) => z.int().min(1).max(limits.mcpTopKMax).optional().describe(`How many at most; ${byDefault} if absent.`);
const filter = z
  .record(z.string(), z.unknown())
  .optional()
  .describe(
    'Only documents that match: {"type": "eq", "key": "source", "value": "a.md"}; types eq ne gt gte lt lte in nin, and/or with "filters"; keys source, source_prefix, media_type, title, page, ingested_at, metadata.<name>.',
  );

export const searchSchemas = {
  inputSchema: {
    query: z.string().min(1).max(limits.queryCharsMax).describe("What to look for, in words or as a question."),
    top_k: topK(limits.topKDefault),
    filter,
  },
  outputSchema: {
    hits: z.array(
      z.object({
        document_id: z.string(),
        source: z.string().describe("Name of the document; `read_document` takes it."),
        title: z.string(),
        page: z.int().nullable(),
        headings: z.array(z.string()),
        ordinal: z.int().describe("Which chunk of its document, from 0; an `offset` for `read_document`."),
        text: z.string(),
        score: z.number(),
      }),
    ),
  },
};

export const askSchemas = {
  inputSchema: {
    question: z.string().min(1).max(limits.queryCharsMax),
    top_k: topK(limits.askTopKDefault),
    filter,
  },
  outputSchema: {
    answer: z.string().describe("Cites its sources as [1]."),
    citations: z.array(
      z.object({
        n: z.int(),
        document_id: z.string(),
        source: z.string(),
        page: z.int().nullable(),
        chunk_id: z.string(),
        quote: z.string().describe("Verbatim from the document."),
      }),
    ),
    mode: z.enum(["generated", "extractive"]).describe("extractive: sentences of the documents, since no language model answered."),
    reason: z.string().nullable(),
    model: z.string().nullable(),
    truncated: z.boolean(),
  },
};

export const readSchemas = {
  inputSchema: {
    document: z.string().min(1).max(limits.sourceBytesMax).describe("Its source, as hits and lists have it, or its document_id."),
    offset: z.int().min(0).optional().describe("Chunk to begin with; 0 if absent."),
    limit: z.int().min(1).max(limits.mcpReadChunksMax).optional().describe(`Chunks at most; ${limits.mcpReadChunksDefault} if absent.`),
  },
  outputSchema: {
    document_id: z.string(),
    source: z.string(),
    title: z.string(),
    text: z.string(),
    offset: z.int(),
    total_chunks: z.int(),
    next_offset: z.int().nullable().describe("Where to go on; null at the end."),
  },
};

export const listSchemas = {
  inputSchema: {
    prefix: z.string().max(limits.sourceBytesMax).optional().describe("Only documents whose source begins so, as a folder does."),
    state: z.enum(documentStates).optional().describe("live if absent: those that can be searched."),
    limit: z.int().min(1).max(limits.pageSizeMax).optional().describe(`Documents at most; ${limits.pageSizeDefault} if absent.`),
    cursor: z.string().max(4_096).optional().describe("`next_cursor` of the page before."),
  },
  outputSchema: {
    documents: z.array(
      z.object({
        document_id: z.string(),
        source: z.string(),
        title: z.string(),
        state: z.enum(documentStates),
        media_type: z.string().nullable(),
        chunks: z.int(),
        updated_at: z.string(),
      }),
    ),
    next_cursor: z.string().nullable(),
  },
};
