import type { ChatMessage } from "./prompt.ts";

export interface GenerationRequest {
  readonly messages: readonly ChatMessage[];
  readonly tokensMax: number;
  readonly onDelta: (text: string) => void;
}

export interface Generation {
  /** The model that answered; of several, the one that was up. */
  readonly model: string;
  /** `length`: it was cut off at `tokensMax` or `answerCharsMax`. */
  readonly finish: "stop" | "length";
  readonly usage: Usage;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export const noTokens: Usage = { promptTokens: 0, completionTokens: 0 };

/** A chat model behind the network. */
export interface LanguageModel {
  /** Of everything that decides what it answers: server, models, window. */
  readonly fingerprint: string;
  /** The one that answers unless it is down. */
  readonly preferredModel: string;
  readonly contextTokensMax: number;
  readonly answerTokensMax: number;
  /** @throws MillraceError `llm.…`; before the first delta it has tried whatever there was to try */
  generate(request: GenerationRequest, signal: AbortSignal): Promise<Generation>;
}
