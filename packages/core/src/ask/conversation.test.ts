import { describe, expect, it } from "vitest";
import { boundConversation } from "./conversation.ts";
import type { ChatMessage } from "./prompt.ts";

const user = (content: string): ChatMessage => ({ role: "user", content });
const assistant = (content: string): ChatMessage => ({ role: "assistant", content });
const system = (content: string): ChatMessage => ({ role: "system", content });

describe("a conversation", () => {
  it("is kept whole where there is room, without the numbers of other sources", () => {
    const messages = [user("a?"), assistant("b [1], as in list[2] [3]."), user("c")];
    expect(boundConversation(messages, 1_000)).toEqual([user("a?"), assistant("b, as in list."), user("c")]);
  });

  it("loses its oldest messages first, and never begins with an answer", () => {
    const messages = [user("first ".repeat(60)), assistant("answer"), user("second"), assistant("another")];
    expect(boundConversation(messages, 60)).toEqual([user("second"), assistant("another")]);
    expect(boundConversation(messages, 0)).toEqual([]);
  });

  it("keeps what the application says, before anything else", () => {
    const messages = [system("be brief"), user("long ".repeat(100)), assistant("answer"), user("short")];
    expect(boundConversation(messages, 40)).toEqual([system("be brief"), user("short")]);
  });

  it("joins what one role says in a row", () => {
    expect(boundConversation([user("a"), user("b"), assistant("c"), assistant("d")], 1_000)).toEqual([user("a\n\nb"), assistant("c\n\nd")]);
  });
});
