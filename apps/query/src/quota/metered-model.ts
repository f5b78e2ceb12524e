import { estimateTokens, type Generation, type GenerationRequest, type LanguageModel, noTokens, type Usage } from "@millrace/core";

/** Claims tokens before they are used; what it returns is told how many were. */
type ClaimTokens = (tokens: number) => Promise<(used: number) => Promise<void>>;

/** A language model that claims the tokens of a call before it, as many as it may need, and gives back what it did not. */
export class MeteredModel implements LanguageModel {
  readonly fingerprint: string;
  readonly preferredModel: string;
  readonly contextTokensMax: number;
  readonly answerTokensMax: number;
  readonly #model: LanguageModel;
  readonly #claim: ClaimTokens;
  readonly #onUsed: (usage: Usage) => void;

  /** @param onUsed told of every call's tokens when it ends, which may be after the question that began it, where others wait for the same */
  constructor(model: LanguageModel, claim: ClaimTokens, onUsed: (usage: Usage) => void) {
    this.#model = model;
    this.#claim = claim;
    this.#onUsed = onUsed;
    this.fingerprint = model.fingerprint;
    this.preferredModel = model.preferredModel;
    this.contextTokensMax = model.contextTokensMax;
    this.answerTokensMax = model.answerTokensMax;
  }

  async generate(request: GenerationRequest, signal: AbortSignal): Promise<Generation> {
    const promptTokens = request.messages.reduce((sum, { content }) => sum + estimateTokens(content), 0);
    const settle = await this.#claim(promptTokens + request.tokensMax);
    let usage: Usage = noTokens;
    let chars = 0;
    const onDelta = (text: string): void => {
      chars += text.length;
      request.onDelta(text);
    };
    try {
      const generation = await this.#model.generate({ ...request, onDelta }, signal);
      usage = generation.usage;
      return generation;
    } catch (error) {
      // A call that ended early says nothing of its tokens; one that failed before its first word had none, unless it was only left.
      if (chars > 0 || signal.aborted) usage = { promptTokens, completionTokens: Math.ceil(chars / 4) };
      throw error;
    } finally {
      this.#onUsed(usage);
      void settle(usage.promptTokens + usage.completionTokens);
    }
  }
}
