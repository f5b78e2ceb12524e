import { ConfigError } from "@millrace/core";
import { embeddingSpaceOf } from "@millrace/embedding";
import type { Config } from "@millrace/runtime";
import { readRunState } from "@millrace/stack";
import { MilvusVectorStore } from "@millrace/vector-store";
import type { Session } from "./session.ts";

/** The vector store of the installation, for commands that look into it themselves. Connects at its first use. */
export async function openStore(config: Config, { redis }: Session): Promise<MilvusVectorStore> {
  const address = config.milvusAddress ?? (await readRunState(config.home))?.milvusAddress;
  if (address === undefined) {
    throw new ConfigError("millrace.not_running", `There is no vector store for ${config.home}`, {
      hint: "Start it with `millrace up --detach`.",
    });
  }
  return new MilvusVectorStore({
    address,
    space: embeddingSpaceOf(config),
    redis,
    ...(config.milvusToken === undefined ? {} : { token: config.milvusToken }),
  });
}
