/**
 * OpenAI's library with a base URL and a key, streamed.
 *   MILLRACE_API_KEY=$(npx millrace keys create --project notes) node examples/dist/openai-chat.js "how do I rotate the keys"
 */
import OpenAI from "openai";

const { MILLRACE_URL: url = "http://127.0.0.1:7171", MILLRACE_API_KEY: apiKey = "" } = process.env;
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey });

const stream = await openai.chat.completions.create({
  model: "millrace",
  messages: [{ role: "user", content: process.argv[2] ?? "what is this about" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");
console.log();
