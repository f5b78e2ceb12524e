import { describeVectorStore, startMilvusLite, startRedis } from "@millrace/testing";
import { MilvusVectorStore } from "@millrace/vector-store";
import { Redis } from "ioredis";

describeVectorStore("MilvusVectorStore on Milvus Lite", async (dimension) => {
  const [server, milvus] = await Promise.all([startRedis(), startMilvusLite()]);
  const redis = new Redis(server.url);
  const space = { modelId: "test", fingerprint: "conformance", dimension, tokensMax: 256 };
  const store = new MilvusVectorStore({ address: milvus.address, space, redis });
  return {
    store,
    async close() {
      await store.close();
      redis.disconnect();
      await Promise.all([milvus.stop(), server.stop()]);
    },
  };
});
