import type { Filter, Fusion, Metadata, SearchMode, Span } from "@millrace/core";

export interface SearchRequest {
  readonly query: string;
  /** Hits, or documents where they are grouped; default 10. */
  readonly top_k?: number;
  /** Default `hybrid`. */
  readonly mode?: SearchMode;
  readonly weights?: { readonly dense: number; readonly keyword: number };
  /** What of both lists is added in a hybrid search; default `scores`. */
  readonly fusion?: Fusion;
  readonly filter?: Filter;
  /** By the scale of the mode: dense −1 to 1, keyword from 0, hybrid 0 to 1. */
  readonly min_score?: number;
  readonly group_by?: "document";
  readonly group_size?: number;
  /** 0 to 1. */
  readonly diversity?: number;
  /** Where the service has a reranker. */
  readonly rerank?: boolean;
  /** So many chunks before and after each hit, or its section. */
  readonly expand?: number | "section";
  readonly highlight?: boolean;
}

export interface Standing {
  /** 1-based. */
  readonly rank: number;
  readonly score: number;
}

export interface SearchHit {
  readonly document_id: string;
  readonly source: string;
  readonly chunk_id: string;
  readonly ordinal: number;
  readonly page: number | null;
  readonly headings: readonly string[];
  readonly title: string;
  readonly ingested_at: string;
  readonly text: string;
  readonly span: Span;
  readonly score: number;
  readonly standings: {
    /** null: not in that list. */
    readonly dense: Standing | null;
    readonly keyword: Standing | null;
    /** Before it was reranked, where that was asked for. */
    readonly retrieved?: Standing;
  };
  readonly metadata: Metadata;
  /** Where `highlight` was asked for. */
  readonly highlights?: readonly Span[];
  /** Where `expand` was asked for. */
  readonly context?: {
    readonly text: string;
    readonly span: Span;
    readonly first_ordinal: number;
    readonly last_ordinal: number;
    readonly cut: boolean;
  };
}

export interface SearchResults {
  readonly object: "search_results";
  readonly data: readonly SearchHit[];
  /** `stale`: of the content as it was a moment ago, where the service may give that. */
  readonly cache: "hit" | "stale" | "miss";
  readonly took_ms: number;
}
