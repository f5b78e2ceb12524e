export interface EmbeddingRequest {
  readonly input: string | readonly string[];
  readonly model?: string;
  readonly encoding_format?: "float" | "base64";
  readonly dimensions?: number;
  readonly input_type?: "document" | "query";
}

export interface EmbeddingList {
  readonly object: "list";
  readonly data: readonly { readonly object: "embedding"; readonly index: number; readonly embedding: readonly number[] | string }[];
  readonly model: string;
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
}
