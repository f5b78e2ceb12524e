import { describe, expect, it } from "vitest";
import { type Difference, differencesOf } from "./same-question.ts";

describe("two questions ask for the same", () => {
  it.each([
    ["How do I change my password?", "Could you please tell me how to change my password"],
    ["What's the max upload size?", "What is the maximum size of an upload?"],
    ["Does version 3.2 support offline mode?", "In version 3.2, is the offline mode supported?"],
    ["Can I restore it within 30 days?", "Is it possible to restore it within thirty days?"],
    ["Do I have to sign?", "Is it necessary to sign?"],
    ["Who invented the telephone?", "By whom was the telephone invented?"],
    ["Does the plan include support?", "Is support included by the plan?"],
    ["How far is the Moon from the Earth?", "What is the distance of the Moon from the Earth?"],
    ["Is the tax 25%?", "Is the tax 25 percent?"],
    ["How much are 1,000 tokens in metres?", "How much are 1000 tokens in meters?"],
    ["What does the cache store?", "I'd like to know what the cache stores."],
    ["Was ist die Hauptstadt?", "Was ist  die Hauptstadt"],
  ])("%s = %s", (a, b) => {
    expect(differencesOf(a, b)).toEqual([]);
    expect(differencesOf(b, a)).toEqual([]);
  });
});

describe("two questions differ", () => {
  it.each<[Difference, string, string]>([
    ["numbers", "What was the revenue in 2023?", "What was the revenue in 2024?"],
    ["numbers", "Is it open from 9 to 17?", "Is it open from 17 to 9?"],
    ["numbers", "Is the 3.2 stable?", "Is the 3.3 stable?"],
    ["words", "Is it due in May?", "Is it due in June?"],
    ["words", "How high is it in metres?", "How high is it in feet?"],
    ["words", "What is the capital of Australia?", "What is the capital of Austria?"],
    ["words", "what is the capital of australia", "what is the capital of austria"],
    ["words", "How do I enable it?", "How do I disable it?"],
    ["words", "Can I eat before it?", "Can I eat after it?"],
    ["words", "What is the US policy?", "What is our policy?"],
    ["words", "How fast is C?", "How fast is C++?"],
    ["words", "What emails from Bob?", "What emails to Bob?"],
    ["negation", "Is it refundable?", "Is it not refundable?"],
    ["negation", "Is it refundable?", "Isn't it refundable?"],
    ["negation", "What runs with it?", "What runs without it?"],
    ["negation", "Who may read all files?", "Who may read all files except logs?"],
    ["kind", "When does it end?", "Why does it end?"],
    ["kind", "Can I export it?", "How do I export it?"],
    ["kind", "How many users share it?", "Which users share it?"],
    ["tense", "Who is the owner?", "Who was the owner?"],
    ["tense", "Does it include lunch?", "Will it include lunch?"],
    ["modality", "Can I leave?", "Must I leave?"],
    ["roles", "Does the buyer pay the seller?", "Does the seller pay the buyer?"],
    ["roles", "Does the buyer pay the seller?", "Is the buyer paid by the seller?"],
    ["roles", "How do I move data from A1 to B2?", "How do I move data from B2 to A1?"],
    ["roles", "Who did Victoria succeed?", "Who succeeded Victoria?"],
    ["roles", "What causes storms?", "What do storms cause?"],
    ["roles", "How many users can share one license?", "How many licenses can one user share?"],
    ["roles", "Does my manager have to inform me?", "Do I have to inform my manager?"],
    ["roles", "What is the capital of Peru?", "What is Peru the capital of?"],
  ])("in %s: %s ≠ %s", (difference, a, b) => {
    expect(differencesOf(a, b)).toContain(difference);
    expect(differencesOf(b, a)).toContain(difference);
  });
});
