/** Our embedder alone: texts in, vectors out, with its tokenizer and its processes. */
import { computeProcessesMax, LocalEmbedder } from "@millrace/embedding";
import { serveContestant } from "./contestant.mjs";

serveContestant(async ({ modelPath, dtype, texts }) => {
  const embedder = new LocalEmbedder({ modelPath, dtype, processes: computeProcessesMax() });
  const signal = new AbortController().signal;
  await embedder.start(signal);
  return async () => {
    await embedder.embed(texts, signal);
    return {};
  };
});
