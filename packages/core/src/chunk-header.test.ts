import { describe, expect, it } from "vitest";
import { embeddedText, headerFor } from "./chunk-header.ts";
import type { TokenCounter } from "./ports.ts";

const words: TokenCounter = { specialTokens: 2, count: (text) => text.match(/\S+/g)?.length ?? 0 };
const placed = { title: "The mill", headings: ["Parts", "The wheel"], text: "It turns while there is water." };

describe("headerFor", () => {
  it("is the title and the innermost heading", () => {
    expect(headerFor(placed, 100, words)).toBe("The mill: The wheel");
  });

  it("leaves out what the chunk begins with, and what stands there twice", () => {
    expect(headerFor({ ...placed, text: "The wheel\n\nIt turns." }, 100, words)).toBe("The mill: Parts");
    expect(headerFor({ ...placed, headings: ["The mill"] }, 100, words)).toBe("The mill");
    expect(headerFor({ title: "", headings: [], text: "It turns." }, 100, words)).toBeUndefined();
  });

  it("takes no more room than there is, in whole words, and no more than 32 tokens", () => {
    expect(headerFor(placed, 3, words)).toBe("The mill: The");
    expect(headerFor(placed, 0, words)).toBeUndefined();
    expect(words.count(headerFor({ ...placed, title: "very long ".repeat(100) }, 100, words) ?? "")).toBe(32);
  });
});

describe("embeddedText", () => {
  it("has the header above the text", () => {
    expect(embeddedText({ header: "The mill", text: "It turns." })).toBe("The mill\nIt turns.");
    expect(embeddedText({ text: "It turns." })).toBe("It turns.");
  });
});
