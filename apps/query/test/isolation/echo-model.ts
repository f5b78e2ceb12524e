import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A language model that answers with its prompt, sources and all: whatever gets into a prompt comes to light. */
export async function startEchoModel(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.once("end", () => {
      const { messages } = JSON.parse(Buffer.concat(parts).toString()) as { messages: { content: string }[] };
      const content = `${messages.map((message) => message.content).join(" ")} [1]`;
      const chunk = (choice: object): string =>
        `data: ${JSON.stringify({ id: "echo", object: "chat.completion.chunk", created: 0, model: "echo", choices: [{ index: 0, ...choice }] })}\n\n`;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(`${chunk({ delta: { content }, finish_reason: null })}${chunk({ delta: {}, finish_reason: "stop" })}data: [DONE]\n\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
