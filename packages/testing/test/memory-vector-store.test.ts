import { MemoryVectorStore } from "@millrace/core";
import { describeVectorStore } from "@millrace/testing";

describeVectorStore("MemoryVectorStore", async (dimension) => ({ store: new MemoryVectorStore(dimension), close: async () => undefined }));
