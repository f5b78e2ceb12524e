import type { SearchRequest } from "./search.ts";

export interface AskRequest extends Omit<SearchRequest, "query" | "expand" | "highlight"> {
  readonly question: string;
  /** The conversation that it belongs to, by a name of your choice. */
  readonly session_id?: string;
  /** Tells how long each step took. */
  readonly trace?: boolean;
}

export interface Citation {
  readonly n: number;
  readonly document_id: string;
  readonly source: string;
  readonly page: number | null;
  readonly chunk_id: string;
  readonly quote: string;
}

export interface AnswerSource extends Omit<Citation, "quote"> {
  readonly headings: readonly string[];
  readonly title: string;
  readonly score: number;
}

export interface Answer {
  readonly object: "answer";
  readonly answer: string;
  readonly citations: readonly Citation[];
  readonly mode: "generated" | "extractive";
  readonly reason: "llm_unset" | "llm_unavailable" | "nothing_found" | null;
  readonly truncated: boolean;
  readonly model: string | null;
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number };
  readonly session_id: string | null;
  /** What was searched for, where a conversation made another question of it. */
  readonly standalone_question: string | null;
  readonly cache: "hit" | "semantic" | "miss";
  readonly took_ms: number;
  readonly timings_ms?: Readonly<Record<string, number>>;
}

/** What happens while an answer is made. The last is `done`; one that fails is thrown. */
export type AskEvent =
  | { readonly event: "sources"; readonly data: readonly AnswerSource[] }
  | { readonly event: "delta"; readonly data: { readonly text: string } }
  | { readonly event: "citation"; readonly data: Citation }
  | { readonly event: "done"; readonly data: Answer };
