/**
 * Searches, then asks, and prints the answer while it comes.
 *   MILLRACE_API_KEY=$(npx millrace keys create --project notes) node examples/dist/search-and-ask.js "how do I rotate the keys"
 */
import { MillraceClient } from "@millrace/client";

const { MILLRACE_URL: url = "http://127.0.0.1:7171", MILLRACE_API_KEY: apiKey = "" } = process.env;
const question = process.argv[2] ?? "what is this about";
const client = new MillraceClient({ url, apiKey });

const { data } = await client.search({ query: question, top_k: 3 });
for (const { score, source, text } of data) console.log(`${score.toFixed(3)}  ${source}  ${text.slice(0, 60).replace(/\s+/g, " ")}`);
console.log();

for await (const event of client.askStream({ question })) {
  if (event.event === "delta") process.stdout.write(event.data.text);
  if (event.event !== "done") continue;
  console.log("\n");
  for (const { n, source, quote } of event.data.citations) console.log(`[${n}] ${source}: ${quote}`);
}
