import { basename, dirname } from "node:path";
import { ConfigError } from "@millrace/core";
import { serveChildRequests } from "@millrace/runtime/child";
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  env,
  type PreTrainedModel,
  type PreTrainedTokenizer,
} from "@xenova/transformers";

/** Child process that runs a cross-encoder. */
export interface RerankProcessOptions {
  readonly folder: string;
  readonly dtype: "fp32" | "int8";
  readonly threads: number;
}

export interface RerankRequest {
  readonly query: string;
  readonly texts: readonly string[];
}

/** Small batches of texts of like length: little is computed for padding. */
const batchTextsMax = 8;
/** What most cross-encoders read, where the model does not say. */
const tokensMaxDefault = 512;

const { folder, dtype, threads } = JSON.parse(process.argv[2] ?? "{}") as RerankProcessOptions;
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = dirname(folder);

let loaded: Promise<readonly [PreTrainedTokenizer, PreTrainedModel]> | undefined;

serveChildRequests(async ({ query, texts }: RerankRequest) => {
  loaded ??= load();
  const [tokenizer, model] = await loaded;
  const tokensMax = (model.config as { readonly max_position_embeddings?: number }).max_position_embeddings ?? tokensMaxDefault;
  const fitting = texts.map((text) => fit(query, text, tokenizer, tokensMax));
  const byLength = [...fitting.keys()].sort((a, b) => (fitting[a]?.length ?? 0) - (fitting[b]?.length ?? 0));
  const scores: number[] = [];
  for (let from = 0; from < byLength.length; from += batchTextsMax) {
    const batch = byLength.slice(from, from + batchTextsMax);
    const inputs: unknown = tokenizer(Array(batch.length).fill(query), {
      text_pair: batch.map((index) => fitting[index] ?? ""),
      padding: true,
    });
    const { logits } = (await model(inputs)) as { readonly logits: { readonly data: Float32Array; readonly dims: readonly number[] } };
    for (const [position, index] of batch.entries()) scores[index] = scoreOf(logits, position);
  }
  return scores;
});

async function load(): Promise<readonly [PreTrainedTokenizer, PreTrainedModel]> {
  const name = basename(folder);
  const session = { intraOpNumThreads: threads, interOpNumThreads: 1, enableMemPattern: false };
  return Promise.all([
    AutoTokenizer.from_pretrained(name),
    AutoModelForSequenceClassification.from_pretrained(name, { dtype, device: "cpu", session_options: session }),
  ]);
}

/** The text, or as much of its beginning as the model reads beside the query. */
function fit(query: string, text: string, tokenizer: PreTrainedTokenizer, tokensMax: number): string {
  let fitting = text;
  for (;;) {
    const tokens = tokenizer.encode(query, { text_pair: fitting }).length;
    if (tokens <= tokensMax || fitting === "") return fitting;
    fitting = fitting.slice(0, Math.floor(fitting.length * Math.min(tokensMax / tokens, 0.95)));
  }
}

/** The probability that the text fits. @throws ConfigError `model.no_reranker` */
function scoreOf({ data, dims }: { readonly data: Float32Array; readonly dims: readonly number[] }, row: number): number {
  const outputs = dims.at(-1);
  if (outputs === 1) return logistic(data[row] ?? 0);
  if (outputs === 2) return logistic((data[2 * row + 1] ?? 0) - (data[2 * row] ?? 0));
  throw new ConfigError("model.no_reranker", `The model in ${folder} has ${outputs} outputs per text; a reranker has one or two`);
}

function logistic(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
