import { type ClientOptions, MillraceClient } from "@millrace/client";
import type { ProjectName } from "@millrace/core";
import { type Config, loadOrCreateAdminKey } from "@millrace/runtime";
import { readRunState } from "@millrace/stack";
import { startInBackground } from "./background.ts";

/**
 * A client of the query service, which is started where nothing runs.
 * @param project undefined: for what spans all of them
 */
export async function openQueryService(
  config: Config,
  project?: ProjectName,
  options: Pick<ClientOptions, "retriesMax"> = {},
): Promise<MillraceClient> {
  const url = await queryUrl(config);
  const apiKey = await loadOrCreateAdminKey(config.home);
  return new MillraceClient({ url, apiKey, ...options, ...(project === undefined ? {} : { project }) });
}

/** That of the running installation; else the configured one, where the addresses say that this is none of its own. */
export async function queryUrl(config: Config): Promise<string> {
  const running = await readRunState(config.home);
  if (running?.phase === "ready" && running.queryUrl !== undefined) return running.queryUrl;
  const configured = config.redisQueueUrl !== undefined || config.redisCacheUrl !== undefined || config.milvusAddress !== undefined;
  if (!configured) {
    const started = await startInBackground(config);
    if (started.queryUrl !== undefined) return started.queryUrl;
  }
  return `http://${config.host}:${config.port}`;
}
