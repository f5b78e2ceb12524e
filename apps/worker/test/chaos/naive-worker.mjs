/**
 * What a pipeline without this project's care does, as a control: cut, embed, insert under generated keys, done. Jobs come again after a crash, as they
 * do everywhere, and what the run before had inserted stays.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { chunkDocument, HashEmbedder } from "@millrace/core";
import { Ledger } from "@millrace/ledger";
import { Consumer, Producer } from "@millrace/queue";
import { connectRedis, createLogger, FileBlobStore, loadConfig } from "@millrace/runtime";
import { MilvusVectorStore } from "@millrace/vector-store";
import { parseText } from "../../dist/parse/text.js";

const config = loadConfig();
const connect = (role) => connectRedis(config.redisQueueUrl, role, () => undefined);
const redis = connect("queue");
const ledger = new Ledger(redis);
const blobs = new FileBlobStore(join(config.home, "blobs"));
const embedder = new HashEmbedder({ dimension: 64, tokensMax: 256 });
const store = new MilvusVectorStore({ address: config.milvusAddress, space: embedder.space, redis });
const consumer = new Consumer({
  name: "documents",
  connect: () => connect("worker"),
  producer: new Producer(redis),
  concurrency: 4,
  logger: createLogger("naive-worker", "fatal"),
  handle: async ({ project, documentId, generation }, signal) => {
    const { contentHash, source } = await ledger.get(project, documentId); // where the bytes are; nothing is entered
    const chunks = chunkDocument(await parseText(await readFile(blobs.pathOf(contentHash))), embedder.tokens, config.chunking);
    for (const chunk of chunks) {
      const [vector] = await embedder.embed([chunk.text], signal);
      const about = { project, documentId, generation, source, mediaType: "text/plain", title: "", metadata: {}, ingestedAt: 0 };
      await store.upsert([{ chunkId: randomBytes(20).toString("hex"), ...about, chunk, vector }], signal);
    }
  },
});
consumer.start();
process.send({ type: "ready" });
