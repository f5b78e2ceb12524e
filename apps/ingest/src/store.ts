import { ConfigError } from "@millrace/core";
import { embeddingSpaceOf } from "@millrace/embedding";
import type { Config } from "@millrace/runtime";
import { readRunState } from "@millrace/stack";
import { type MilvusAddress, MilvusVectorStore } from "@millrace/vector-store";
import type { Session } from "./session.ts";

/** The vector store of the installation, for commands that look into it themselves. Connects at its first use. */
export async function openStore(config: Config, { redis }: Session): Promise<MilvusVectorStore> {
  return new MilvusVectorStore({ ...(await storeAddress(config)), space: embeddingSpaceOf(config), redis });
}

/** @throws ConfigError `millrace.not_running` */
export async function storeAddress(config: Config): Promise<MilvusAddress> {
  const address = config.milvusAddress ?? (await readRunState(config.home))?.milvusAddress;
  if (address === undefined) {
    throw new ConfigError("millrace.not_running", `There is no vector store for ${config.home}`, {
      hint: "Start it with `millrace up --detach`.",
    });
  }
  return { address, ...(config.milvusToken === undefined ? {} : { token: config.milvusToken }) };
}
