export interface UsageQuery {
  /** Days in UTC, `2026-11-25`, both included. */
  readonly from?: string;
  readonly to?: string;
}

/** What was used in a span of time. Costs are null where no prices are configured. */
export interface UsageAmounts {
  readonly questions: number;
  readonly generated: number;
  readonly extractive: number;
  readonly cached: number;
  readonly cached_share: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly saved_prompt_tokens: number;
  readonly saved_completion_tokens: number;
  readonly cost: number | null;
  readonly saved_cost: number | null;
  readonly searches: number;
  readonly searches_cached: number;
}

export interface Usage {
  readonly object: "usage";
  readonly from: string;
  readonly to: string;
  readonly data: readonly (UsageAmounts & { readonly object: "usage.day"; readonly project: string; readonly day: string })[];
  readonly total: UsageAmounts;
}
