import { basename, dirname, isAbsolute, join } from "node:path";
import { type ChunkingOptions, chunkDocument, InvalidInputError, type ParsedDocument, type TokenCounter } from "@millrace/core";
import type { TransformersConfig } from "@millrace/runtime";
import { serveChildRequests } from "@millrace/runtime/child";
import { AutoModel, AutoTokenizer, env, ModelRegistry, type PreTrainedModel, type PreTrainedTokenizer, Tensor } from "@xenova/transformers";
import { batchesByLength } from "./batch.ts";
import { loadError, removeUnfinished, revisionFolder } from "./hub.ts";
import { poolTokens } from "./pooling.ts";
import { estimatedTokens } from "./token-estimate.ts";

/** Child process that runs any model of transformers.js, or only counts tokens as the model of a server does. */
export interface TransformersProcessOptions {
  /** Undefined: no tokenizer is known, and tokens are estimated. */
  readonly tokenizer: string | undefined;
  /** Undefined: embeds nothing. */
  readonly model: TransformersConfig | undefined;
  readonly tokensMax: number;
  readonly documentPrefix: string;
  /** Downloads are kept here. */
  readonly cacheFolder: string;
  readonly threads: number;
}

export type TransformersRequest =
  /** Loads the model, and downloads it first where that is allowed and needed. */
  | { readonly kind: "load" }
  | { readonly kind: "embed"; readonly texts: readonly string[] }
  | { readonly kind: "count"; readonly texts: readonly string[] }
  | { readonly kind: "chunk"; readonly document: ParsedDocument; readonly options: ChunkingOptions };

/** The memo forgets everything at this size; the frequent words are back within a few documents. */
const wordsRememberedMax = 100_000;

const options = JSON.parse(process.argv[2] ?? "{}") as TransformersProcessOptions;
env.allowRemoteModels = options.model?.remote ?? false;
env.allowLocalModels = true;
const { revision = "main", hub = "" } = options.model ?? {};
env.cacheDir = revisionFolder(options.cacheFolder, revision);
// The name of a model of the hub is no path from wherever this process stands.
env.localModelPath = isAbsolute(options.tokenizer ?? "") ? dirname(options.tokenizer ?? "") : env.cacheDir;
env.remoteHost = hub.endsWith("/") ? hub : `${hub}/`;
// Not handed to each call: for some files of a pinned revision, transformers.js 4.3 looks at `main`, which may lack them.
env.remotePathTemplate = `{model}/resolve/${encodeURIComponent(revision)}/`;
if (options.model?.remote) removeUnfinished(join(env.cacheDir, options.model.model));

/** Loaded at the first request that needs them; what failed is tried again by the next one. */
let tokenizer: Promise<PreTrainedTokenizer> | undefined;
let model: Promise<PreTrainedModel> | undefined;

serveChildRequests(async (request: TransformersRequest) => {
  if (request.kind === "load") return void (await openModel(options.model as TransformersConfig));
  if (request.kind === "embed") return embed(request.texts);
  const tokens = await openTokens();
  if (request.kind === "count") return request.texts.map((text) => tokens.specialTokens + tokens.count(text));
  const prefixTokens = options.documentPrefix === "" ? 0 : tokens.count(options.documentPrefix) + 1;
  const { tokensMax } = request.options;
  const chunking = { ...request.options, tokensMax: Math.min(tokensMax, options.tokensMax) };
  return chunkDocument(request.document, { ...tokens, specialTokens: tokens.specialTokens + prefixTokens }, chunking);
});

async function openTokenizer(name: string): Promise<PreTrainedTokenizer> {
  tokenizer ??= loading(loadTokenizer(nameOf(name)), () => (tokenizer = undefined));
  return tokenizer;
}

async function loadTokenizer(name: string): Promise<PreTrainedTokenizer> {
  // Without this file transformers.js ends with a TypeError that names nothing.
  const files = await ModelRegistry.get_tokenizer_files(name);
  if (files.length === 0) throw Object.assign(new Error("there is no tokenizer_config.json"), { name: "ModelFileNotFoundError" });
  return AutoTokenizer.from_pretrained(name);
}

async function openModel({ model: name, dtype }: TransformersConfig): Promise<readonly [PreTrainedTokenizer, PreTrainedModel]> {
  const opened = await openTokenizer(name);
  const session_options = { intraOpNumThreads: options.threads, interOpNumThreads: 1, enableMemPattern: false };
  model ??= loading(AutoModel.from_pretrained(nameOf(name), { dtype, device: "cpu", session_options }), () => (model = undefined));
  return [opened, await model];
}

/** @throws ConfigError `model.missing`, `model.unusable` | DependencyError `model.download_failed` */
async function loading<T>(loaded: Promise<T>, forget: () => void): Promise<T> {
  try {
    return await loaded;
  } catch (error) {
    forget();
    throw options.model === undefined ? error : loadError(error, options.model, env.cacheDir ?? "");
  }
}

async function openTokens(): Promise<TokenCounter> {
  if (options.tokenizer === undefined) return estimatedTokens;
  const opened = await openTokenizer(options.tokenizer);
  const specialTokens = opened.encode("").length;
  const remembered = new Map<string, number>();
  return {
    specialTokens,
    count(text) {
      const known = remembered.get(text);
      if (known !== undefined) return known;
      const count = opened.encode(text, { add_special_tokens: false }).length;
      // Words come again; longer texts do not.
      if (!/\s/.test(text)) {
        if (remembered.size >= wordsRememberedMax) remembered.clear();
        remembered.set(text, count);
      }
      return count;
    },
  };
}

/** @returns all vectors one after another: `texts.length × dimension` */
async function embed(texts: readonly string[]): Promise<Float32Array> {
  const described = options.model as TransformersConfig;
  const { dimension, tokensMax, pooling } = described;
  const [opened, run] = await openModel(described);
  const encoded = texts.map((text) => opened.encode(text));
  const longest = Math.max(...encoded.map((ids) => ids.length));
  if (longest > tokensMax) {
    const message = `A text has ${longest} tokens, more than the ${tokensMax} that the model reads`;
    throw new InvalidInputError("embed.too_long", message, { hint: "Shorten it." });
  }
  const vectors = new Float32Array(texts.length * dimension);
  for (const batch of batchesByLength(encoded.map((ids) => ids.length))) {
    const rows = batch.map((index) => encoded[index] ?? []);
    const length = Math.max(...rows.map((ids) => ids.length));
    const ids = new BigInt64Array(rows.length * length).fill(BigInt(opened.pad_token_id ?? 0));
    const mask = new BigInt64Array(ids.length);
    for (const [row, tokens] of rows.entries()) {
      for (const [column, id] of tokens.entries()) ids[row * length + column] = BigInt(id);
      mask.fill(1n, row * length, row * length + tokens.length);
    }
    const shape = [rows.length, length];
    const output = (await run({
      input_ids: new Tensor("int64", ids, shape),
      attention_mask: new Tensor("int64", mask, shape),
    })) as Readonly<Record<string, Tensor | undefined>>;
    const states = output["last_hidden_state"] ?? output["token_embeddings"];
    const lengths = rows.map((tokens) => tokens.length);
    const pooled = poolTokens({ data: states?.data, dims: states?.dims ?? [] }, lengths, dimension, pooling);
    for (const [position, index] of batch.entries()) vectors.set(pooled[position] ?? [], index * dimension);
  }
  return vectors;
}

/** transformers.js looks for a local model below `env.localModelPath`. */
function nameOf(model: string): string {
  return isAbsolute(model) ? basename(model) : model;
}
