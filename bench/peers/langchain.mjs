/**
 * LangChain.js with its Milvus store, on ready chunks. `default`: as its documentation shows it, fp32, batches of 512, everything in one call.
 * `best`: int8, sorted by length, small batches, and added in parts so that memory stays bounded.
 */
import { basename, dirname } from "node:path";
import { env } from "@huggingface/transformers";
import { HuggingFaceTransformersEmbeddings } from "@langchain/community/embeddings/huggingface_transformers";
import { Milvus } from "@langchain/community/vectorstores/milvus";
import { Document } from "@langchain/core/documents";
import { paddedTokens, serveContestant, slices } from "../contestants/contestant.mjs";

serveContestant(async ({ modelPath, dtype, texts, sources, lengths, batchSize, rowsPerCall, sorted, address }) => {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(modelPath);
  const embeddings = new HuggingFaceTransformersEmbeddings({
    model: basename(modelPath),
    ...(batchSize === undefined ? {} : { batchSize }),
    pretrainedOptions: { dtype },
  });
  await embeddings.embedQuery("ready");
  const order = texts.map((_, index) => index);
  if (sorted) order.sort((a, b) => lengths[b] - lengths[a]);
  const documents = order.map((index) => new Document({ pageContent: texts[index], metadata: { source: sources[index] } }));
  // Without a length the longest text of the first call decides what later calls may hold.
  const store = new Milvus(embeddings, { collectionName: "bench", clientConfig: { address }, textFieldMaxLength: 65_535 });
  // Embedding blocks the event loop for longer than the client waits for its connection.
  await store.client.connectPromise;
  const calls = slices(documents, rowsPerCall ?? documents.length);
  return async ({ searchable }) => {
    for (const call of calls) {
      await store.addDocuments(call);
      searchable();
    }
    const counts = slices(order, rowsPerCall ?? order.length).flatMap((call) => slices(call, batchSize ?? 512));
    return { paddedTokens: paddedTokens(counts.map((batch) => batch.map((index) => lengths[index]))) };
  };
});
