import { stem } from "../stem.ts";
import { seemsEnglish } from "./question-language.ts";
import {
  auxiliaries,
  canonicalOf,
  determiners,
  exceptions,
  futureWords,
  grammar,
  irregularPasts,
  kinds,
  negations,
  obligations,
  pastWords,
  permissions,
  presentWords,
  questionBegins,
  roleGivers,
  wrappers,
} from "./question-words.ts";

/** In what two questions differ, so that the answer to one may be wrong for the other. */
export type Difference = "language" | "kind" | "tense" | "modality" | "negation" | "numbers" | "words" | "roles";

/**
 * What a near vector does not show: "2023" is near "2024", "before" near "after", "A pays B" near "B pays A". Two questions are taken for one only when they
 * differ in form alone: in politeness, grammar, the order of their parts, inflection and a few plain synonyms. Names, dates, units and opposites need no
 * list, since every word that is not of grammar must be in both. It errs on the side of asking the model anew. All of that is known of English alone: in any other
 * language two questions are one only where they are written the same, up to white space and the mark at the end.
 * @returns empty where they ask for the same
 */
export function differencesOf(a: string, b: string): Difference[] {
  if (!seemsEnglish(a) || !seemsEnglish(b)) return written(a) === written(b) ? [] : ["language"];
  const [one, other] = [readQuestion(a), readQuestion(b)];
  const differences: Difference[] = [];
  const note = (difference: Difference, differs: boolean): void => {
    if (differs) differences.push(difference);
  };
  note("kind", one.kind !== other.kind);
  note("tense", one.tense !== other.tense);
  note("modality", one.modality !== other.modality);
  note("negation", one.negations !== other.negations);
  note("numbers", one.numbers.join(" ") !== other.numbers.join(" "));
  note("words", !sameWords(one.words, other.words));
  note("roles", one.voice !== other.voice && one.voice !== "open" && other.voice !== "open");
  // The same words in the same frame of grammar, in another order: they have changed places.
  note("roles", one.frame === other.frame && one.words.join(" ") !== other.words.join(" "));
  note(
    "roles",
    [...one.objects].some(([preposition, object]) => (other.objects.get(preposition) ?? object) !== object),
  );
  note("roles", one.asked !== "" && other.asked !== "" && one.asked !== other.asked);
  note("roles", one.marks !== other.marks);
  note("roles", !agreeOnAgent(one, other) || !agreeOnAgent(other, one));
  return [...new Set(differences)];
}

function written(question: string): string {
  return question
    .normalize("NFKC")
    .replace(/\s+/g, " ")
    .replace(/[\s?!.。]+$/, "")
    .trim();
}

interface ReadQuestion {
  readonly kind: string;
  readonly tense: "past" | "present" | "future";
  readonly modality: "may" | "must" | "plain";
  readonly negations: string;
  readonly numbers: readonly string[];
  /** Words that are not of grammar, in order. */
  readonly words: readonly string[];
  /** The words of grammar in order, with places for the others. */
  readonly frame: string;
  /** Whether it asks for who acts ("who pays") or for what is acted on ("whom does he pay"). */
  readonly voice: "actor" | "object" | "open";
  /** What is asked for, in any order of its words, where it stands before the verb: "how many USERS can …". */
  readonly asked: string;
  /** "me" as the one acted on, and an "of" left at the end ("what is A the capital of"). */
  readonly marks: string;
  /** What follows a preposition that gives it its part: "from A", "than A". */
  readonly objects: ReadonlyMap<string, string>;
}

function readQuestion(text: string): ReadQuestion {
  const plain = mainClauseFirst(unwrap(spellOut(text)));
  const [kind, rest] = kindOf(plain);
  const tokens = tokensOf(rest);
  const all = tokensOf(plain);
  const isYesNo = kind === "whether";
  const said = tokens.filter((token) => !negations.has(token) && !exceptions.has(token));
  const isWord = (token: string): boolean => !grammar.has(token) && token !== "by" && !(isYesNo && isModal(token));
  const words = said.filter(isWord).map(wordOf);
  const auxiliaryAt = Math.max(
    0,
    tokens.findIndex((token) => auxiliaries.has(token)),
  );
  // "By whom" asks for the agent and names none.
  const objects = all.flatMap((token, index) =>
    roleGivers.has(token) && index > 0 ? [[token, wordOf(all.slice(index + 1).find(isWord) ?? "")] as const] : [],
  );
  return {
    kind,
    tense: tenseOf(all),
    modality: ["how", "why", "count", "duration"].includes(kind) ? "plain" : modalityOf(all),
    negations: all.flatMap((token) => (negations.has(token) ? ["not"] : exceptions.has(token) ? ["except"] : [])).join(" "),
    numbers: words.filter((word) => /^\d/.test(word)),
    words,
    frame: tokens.map((token) => (isWord(token) ? "_" : token)).join(" "),
    voice: kind === "who" || kind === "what" ? voiceOf(all) : "open",
    asked: kind === "count" || kind === "what" ? tokens.slice(0, auxiliaryAt).filter(isWord).map(wordOf).sort().join(" ") : "",
    marks: `${/\b(?:me|us)\b/.test(plain) ? "me" : ""} ${/ of$/.test(plain) ? "of" : ""}`,
    objects: new Map(objects),
  };
}

function isModal(token: string): boolean {
  return permissions.has(token) || obligations.has(token);
}

/** The passive voice names who acts behind "by"; the active one names him first. */
function agreeOnAgent(passive: ReadQuestion, active: ReadQuestion): boolean {
  const agent = passive.objects.get("by");
  return agent === undefined || active.objects.has("by") || active.words[0] === agent;
}

/** Short forms in full, in lower case but for what is written in capitals only: "US" is not "us". */
function spellOut(text: string): string {
  const isShouted = !/\p{Ll}/u.test(text);
  return text
    .normalize("NFKC")
    .replace(/[‘’]/g, "'")
    .replace(/\p{L}[\p{L}\p{N}]*/gu, (word) => (!isShouted && /^\p{Lu}[\p{Lu}\p{N}]+$/u.test(word) ? word : word.toLowerCase()))
    .replace(/\b(can|won|shan)'t\b/g, (_, verb: string) => ({ can: "can not", won: "will not" })[verb] ?? "shall not")
    .replace(/n't\b/g, " not")
    .replace(/\bcannot\b/g, "can not")
    .replace(/\b(what|who|where|how|when|why|it|that|there|he|she)'s\b/g, "$1 is")
    .replace(/'(?:re)\b/g, " are")
    .replace(/'ll\b/g, " will")
    .replace(/'ve\b/g, " have")
    .replace(/'m\b/g, " am")
    .replace(/\bor not\b/g, "")
    .replace(/(\d),(?=\d{3}\b)/g, "$1")
    .replace(/%/g, " percent ")
    .replace(/\$\s?([\d.]+)/g, "$1 dollars")
    .replace(/€\s?([\d.]+)/g, "$1 euros")
    .replace(/£\s?([\d.]+)/g, "$1 sterling")
    .replace(/\bper cent\b/g, "percent")
    .replace(/\b(\d+(?:\.\d+)?)(?=[a-z]{1,3}\b)(?!st\b|nd\b|rd\b|th\b)/g, "$1 ")
    .replace(/\b(?:log|sign)(?:ging|ged|s)? (?:in|on)\b/g, "login")
    .replace(/\b(?:log|sign)(?:ging|ged|s)? (?:out|off)\b/g, "logout")
    .replace(/\b(set|back|sign) up\b/g, "$1up")
    .replace(/\b(?:have|has|had) to\b/g, "must")
    .replace(/\bgoing to\b/g, "will")
    .replace(/[?!.\s]+$/, "")
    .trim();
}

function unwrap(text: string): string {
  let inner = text;
  for (;;) {
    const next = wrappers.reduce((rest, wrapper) => rest.replace(wrapper, ""), inner);
    if (next === inner || next === "") return inner;
    inner = next;
  }
}

/** "On Linux, where is it?" -> "where is it On Linux" */
function mainClauseFirst(text: string): string {
  const [, before, main] = /^([^,:]+)[,:] (.+)$/.exec(text) ?? [];
  return before !== undefined && main !== undefined && questionBegins.test(main) && !questionBegins.test(before)
    ? `${main} ${before}`
    : text;
}

function kindOf(text: string): [kind: string, rest: string] {
  for (const [kind, begins] of kinds) {
    const taken = begins.exec(text)?.[0];
    if (taken !== undefined) return [kind, text.slice(taken.length)];
  }
  return ["what", text];
}

/** Hyphens and slashes part words; dots and underscores within them do not, nor the signs behind C++ and C#. */
function tokensOf(text: string): string[] {
  const found = text.match(/°?[\p{L}\p{N}]+(?:['._@:][\p{L}\p{N}]+)*[+#]*/gu) ?? [];
  return found.map((token) => token.replace(/'s?$/, ""));
}

function wordOf(token: string): string {
  const known = canonicalOf(token) ?? canonicalOf(stem(token));
  if (known !== undefined) return known;
  const american = token
    .replace(/is(e|ed|es|ing|ation|ations)$/, "iz$1")
    .replace(/ys(e|ed|es|ing)$/, "yz$1")
    .replace(/our(s?)$/, "or$1")
    .replace(/tre(s?)$/, "ter$1");
  return stem(american);
}

function modalityOf(tokens: readonly string[]): ReadQuestion["modality"] {
  if (has(tokens, obligations)) return "must";
  return has(tokens, permissions) ? "may" : "plain";
}

/** By the auxiliary verb; where there is none, by the form of the verb. */
function tenseOf(tokens: readonly string[]): ReadQuestion["tense"] {
  if (has(tokens, pastWords)) return "past";
  if (has(tokens, futureWords)) return "future";
  if (has(tokens, presentWords)) return "present";
  const isPast = (token: string, index: number): boolean =>
    irregularPasts.has(token) || (/..ed$/.test(token) && !determiners.has(tokens[index - 1] ?? "the"));
  return tokens.some(isPast) ? "past" : "present";
}

/** Near the beginning, "do" asks for what is acted on, as an indirect question does ("what the cache holds"); no auxiliary at all for who acts. */
function voiceOf(tokens: readonly string[]): ReadQuestion["voice"] {
  const [first = "", second = "", third = ""] = tokens;
  if (!/^wh/.test(first)) return "open";
  if (determiners.has(second) || (first === "which" && determiners.has(third))) return "object";
  const auxiliary = tokens.slice(1, 5).find((token) => auxiliaries.has(token));
  return auxiliary === undefined ? "actor" : /^d/.test(auxiliary) ? "object" : "open";
}

function has(tokens: readonly string[], words: ReadonlySet<string>): boolean {
  return tokens.some((token) => words.has(token));
}

function sameWords(a: readonly string[], b: readonly string[]): boolean {
  const [one, other] = [new Set(a), new Set(b)];
  return one.size === other.size && [...one].every((word) => other.has(word));
}
