import type { LanguageModel } from "./language-model.ts";
import { type ChatMessage, promptFrameTokens } from "./prompt.ts";
import type { Turn } from "./standalone.ts";
import { estimateTokens } from "./tokens.ts";

/** The frame that a model's template puts around a message. */
const messageTokens = 8;

/** Sources matter more than what was said before: they are what answers are made from. */
const conversationShareMax = 0.25;

/** What of a model's window is for a conversation. */
export function conversationTokensMax({ contextTokensMax, answerTokensMax }: LanguageModel): number {
  return Math.floor((contextTokensMax - answerTokensMax - promptFrameTokens) * conversationShareMax);
}

/**
 * What of a conversation fits into `tokensMax`: what the application says (system messages) first, then the newest messages; from the first that does
 * not fit, the older ones are dropped. What is left of the dialogue begins with the user, and nobody speaks twice in a row: many models' templates insist.
 * Citations in earlier answers are taken out, since their numbers were those of other sources.
 */
export function boundConversation(messages: readonly ChatMessage[], tokensMax: number): ChatMessage[] {
  let left = tokensMax;
  const take = (message: ChatMessage): boolean => {
    left -= estimateTokens(message.content) + messageTokens;
    return left >= 0;
  };
  const wishes = messages.filter(({ role }) => role === "system");
  const dialogue = messages.filter(({ role }) => role !== "system").map(withoutCitations);
  const kept = takeWhile(wishes, take);
  const newest = takeWhile(dialogue.toReversed(), take).reverse();
  const begin = newest.findIndex(({ role }) => role === "user");
  return [...kept, ...(begin === -1 ? [] : joinNeighbours(newest.slice(begin)))];
}

/** The questions of a dialogue, oldest first, each with what was answered to it. */
export function turnsOf(messages: readonly ChatMessage[]): Turn[] {
  const dialogue = joinNeighbours(messages.filter(({ role }) => role !== "system"));
  return dialogue.flatMap(({ role, content }, index) =>
    role === "user" ? [{ question: content, answer: dialogue[index + 1]?.content }] : [],
  );
}

function takeWhile<T>(values: readonly T[], isTaken: (value: T) => boolean): T[] {
  const end = values.findIndex((value) => !isTaken(value));
  return values.slice(0, end === -1 ? values.length : end);
}

function withoutCitations({ role, content }: ChatMessage): ChatMessage {
  return { role, content: role === "assistant" ? content.replace(/\s?\[\d{1,3}\]/g, "") : content };
}

function joinNeighbours(messages: readonly ChatMessage[]): ChatMessage[] {
  const joined: ChatMessage[] = [];
  for (const { role, content } of messages) {
    const last = joined.at(-1);
    if (last?.role === role) joined[joined.length - 1] = { role, content: `${last.content}\n\n${content}` };
    else joined.push({ role, content });
  }
  return joined;
}
