import { type AnswerSetting, answerKey, answerPartition, evidenceKey } from "../cache-key.ts";
import { dot } from "../dot.ts";
import { isMillraceError } from "../errors.ts";
import type { StoredHit } from "../ports.ts";
import type { ProjectName } from "../project.ts";
import type { SearchRequest } from "../search-request.ts";
import {
  type Answer,
  type AnswerDeps,
  type AskEvent,
  answerFrom,
  type Question,
  replay,
  type SourceSummary,
  withoutText,
} from "./answer.ts";
import { type LanguageModel, noTokens, type Usage } from "./language-model.ts";
import { promptVersion } from "./prompt.ts";
import { differencesOf } from "./same-question.ts";
import { type AnswerSource, evidenceOf, selectSources, sourceTokensMax } from "./source.ts";

/** An answer with what it rests on. */
export interface StoredAnswer {
  /** Of the project's content, read before the sources were searched for. */
  readonly epoch: string;
  /** Generations of the documents that its sources are of. */
  readonly documents: readonly (readonly [documentId: string, generation: string])[];
  /** `evidenceOf` its sources. */
  readonly evidence: string;
  readonly sources: readonly SourceSummary[];
  readonly answer: Answer;
}

/** `hit`: of the same question, asked before or at the same moment; `semantic`: of one that says the same in another way. */
export type CacheResult = "hit" | "semantic" | "miss";

/** A question that was answered, of those with the same evidence. */
export interface EarlierQuestion {
  readonly question: string;
  /** Under which its answer is kept. */
  readonly key: string;
  readonly vector: Float32Array;
}

/** Where answers are kept; `QuestionCache` of `@millrace/cache`. What of it is broken is a miss. */
export interface AnswerKeeper {
  read(key: string): Promise<StoredAnswer | undefined>;
  /** @param isProvisional its preferred model was down: it is kept only briefly, so that a better answer comes soon after that is back */
  keep(key: string, answer: StoredAnswer, isProvisional: boolean): Promise<void>;
  /** Replaces an answer that is there, which lives no longer for that. */
  confirm(key: string, answer: StoredAnswer): Promise<void>;
  drop(key: string): Promise<void>;
  /** Questions that were answered from this evidence, the latest first. */
  earlier(evidenceKey: string): Promise<readonly EarlierQuestion[]>;
  keepQuestion(evidenceKey: string, question: EarlierQuestion): Promise<void>;
  /** Computes once for all who ask meanwhile. */
  once<T>(
    key: string,
    flight: { read(): Promise<T | undefined>; compute(signal: AbortSignal): Promise<T> },
    signal: AbortSignal,
  ): Promise<{ readonly value: T; readonly role: "led" | "joined" | "followed" }>;
}

export interface CachedAnswerDeps extends AnswerDeps {
  readonly retrieve: (request: SearchRequest, signal: AbortSignal) => Promise<readonly StoredHit[]>;
  readonly keeper: AnswerKeeper;
  readonly ledger: {
    epoch(project: ProjectName): Promise<string>;
    liveGenerations(project: ProjectName, documentIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
  };
  readonly setting: Pick<AnswerSetting, "keyScope" | "spaceFingerprint" | "rerankerFingerprint">;
  /** Cosine similarity from which two questions may be one. Undefined: only the same words are the same question. */
  readonly similarityMin: number | undefined;
}

export interface CachedAnswer {
  /** Its usage is what this question took. */
  readonly answer: Answer;
  readonly cache: CacheResult;
  /** What it would have taken besides, had nobody asked before. */
  readonly saved: Usage;
}

interface Made {
  readonly stored: StoredAnswer;
  readonly cache: CacheResult;
}

/**
 * An answer that was given before, to this question or to one that says the same in another way, as long as it would be made from the same evidence now; else a
 * new one, made once for all who ask meanwhile.
 *
 * An entry dies when a document among its sources changes or is deleted. When the project's epoch is the entry's, nothing else has changed either. When it is
 * another one, the sources are searched for again, and the same ones confirm the entry: so no new document is overlooked, and an ingest elsewhere in
 * the project costs a search, not an answer of the model. Answers are made under the epoch that the question found, so that nobody waits for one that
 * was begun before a change he knows of.
 * @throws as `answerFrom` does, and what `retrieve` throws
 */
export async function cachedAnswer(
  question: Question,
  model: LanguageModel,
  deps: CachedAnswerDeps,
  emit: (event: AskEvent) => void,
  signal: AbortSignal,
): Promise<CachedAnswer> {
  const { keeper } = deps;
  const { search, conversation, answerTokensMax } = question;
  const { project, query } = search;
  const asked = { conversation, answerTokensMax: answerTokensMax ?? null, promptVersion, modelFingerprint: model.fingerprint };
  const partition = answerPartition(search, { ...deps.setting, ...asked });
  const key = answerKey(project, partition, query);
  const { epoch, entry } = await deps.step("cache", () => lookUp(key, project, deps));
  if (entry?.epoch === epoch) {
    replay(entry.answer, entry.sources, emit);
    return given({ stored: entry, cache: "hit" });
  }

  let led = false;
  let told = false;
  let begin = (): void => undefined;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const compute = async (shared: AbortSignal): Promise<Made> => {
    led = true;
    begin();
    const hits = await deps.step("retrieve", () => deps.retrieve(search, shared));
    const sources = selectSources(hits, sourceTokensMax(query, conversation, model));
    const evidence = evidenceOf(sources);
    if (entry?.evidence === evidence) {
      const confirmed = { ...entry, epoch };
      await keeper.confirm(key, confirmed);
      return { stored: confirmed, cache: "hit" };
    }
    const similar = await similarBefore(question, evidenceKey(project, partition, evidence), evidence, deps, shared);
    if (similar.found !== undefined) return { stored: similar.found, cache: "semantic" };
    told = true;
    const answer = await answerFrom(question, sources, deps, emit, shared);
    const stored = { epoch, documents: documentsOf(sources), evidence, sources: sources.map(withoutText), answer };
    if (mayBeKept(answer)) {
      await keeper.keep(key, stored, answer.model !== model.preferredModel);
      if (similar.vector !== undefined)
        await keeper.keepQuestion(evidenceKey(project, partition, evidence), { question: query, key, vector: similar.vector });
    }
    return { stored, cache: "miss" };
  };
  const read = async (): Promise<Made | undefined> => {
    const stored = await keeper.read(key);
    return stored?.epoch === epoch ? { stored, cache: "hit" } : undefined;
  };
  const make = async (): Promise<{ value: Made; role: "led" | "joined" | "followed" }> => {
    for (;;) {
      try {
        return await keeper.once(`${key}:${epoch}`, { read, compute }, signal);
      } catch (error) {
        // An outage is everybody's. What was another caller's own, as a quota is, is no reason for this one.
        if (led || signal.aborted || isMillraceError(error)) throw error;
      }
    }
  };
  const made = make();
  await deps.step("wait", () => Promise.race([begun, made.then(ignore, ignore)]));
  const { value, role } = await made;
  if (!told) replay(value.stored.answer, value.stored.sources, emit);
  const isShared = role !== "led" && value.stored.answer.mode === "generated";
  return given(isShared && value.cache === "miss" ? { ...value, cache: "hit" } : value);
}

/** The project's epoch, and the answer that is kept, if all that it rests on is live. */
async function lookUp(
  key: string,
  project: ProjectName,
  { keeper, ledger }: CachedAnswerDeps,
): Promise<{ epoch: string; entry: StoredAnswer | undefined }> {
  const [epoch, entry] = await Promise.all([ledger.epoch(project), keeper.read(key)]);
  if (entry === undefined) return { epoch, entry };
  const live = await ledger.liveGenerations(
    project,
    entry.documents.map(([documentId]) => documentId),
  );
  if (entry.documents.every(([documentId, generation]) => live.get(documentId) === generation)) return { epoch, entry };
  await keeper.drop(key);
  return { epoch, entry: undefined };
}

/**
 * The answer to the nearest earlier question that had this evidence and asks for the same. Since only questions with the same evidence are looked at, it is the
 * last of the conditions that costs something, and there are few.
 * @returns the question's own vector too, where questions are compared at all
 */
async function similarBefore(
  { search }: Question,
  questionsKey: string,
  evidence: string,
  { keeper, embed, similarityMin }: CachedAnswerDeps,
  signal: AbortSignal,
): Promise<{ found?: StoredAnswer; vector?: Float32Array }> {
  // A question for keywords alone may be longer than the model reads.
  if (similarityMin === undefined || search.mode === "keyword") return {};
  const [[vector = new Float32Array()], earlier] = await Promise.all([
    embed([search.query], "query", signal),
    keeper.earlier(questionsKey),
  ]);
  const alike = earlier
    .map((each) => ({ ...each, similarity: dot(vector, each.vector) }))
    .filter(({ question, similarity }) => similarity >= similarityMin && differencesOf(search.query, question).length === 0)
    .sort((a, b) => b.similarity - a.similarity);
  for (const { key } of alike) {
    const found = await keeper.read(key);
    // Asked again since, it may have another answer, from other evidence.
    if (found?.evidence === evidence) return { found, vector };
  }
  return { vector };
}

/** Whoever needs to know is told elsewhere. */
function ignore(): void {}

/** Whole, by a model, and nothing was wrong with it. */
function mayBeKept({ mode, truncated, clean }: Answer): boolean {
  return mode === "generated" && !truncated && clean;
}

function documentsOf(sources: readonly AnswerSource[]): [string, string][] {
  return [...new Map(sources.map(({ documentId, generation }) => [documentId, generation]))];
}

function given({ stored: { answer }, cache }: Made): CachedAnswer {
  return cache === "miss" ? { answer, cache, saved: noTokens } : { answer: { ...answer, usage: noTokens }, cache, saved: answer.usage };
}
