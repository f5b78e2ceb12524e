import { DocumentError, errorMessage, isMillraceError, type MediaType } from "@millrace/core";
import { isOutOfMemory, serveChildRequests } from "@millrace/runtime/child";
import { denyNetwork } from "./no-network.ts";
import { parsers } from "./parser.ts";

/** Child process of the parser pool: is given bytes and parses them. What a hostile file does here ends here. */
export interface ParseRequest {
  readonly mediaType: MediaType;
  /** 1-based. */
  readonly fromPage: number;
}

denyNetwork();

serveChildRequests(async ({ mediaType, fromPage }: ParseRequest, bytes) => {
  try {
    return await parsers[mediaType](bytes, fromPage);
  } catch (error) {
    if (isMillraceError(error) || isOutOfMemory(error)) throw error;
    throw new DocumentError("parse.damaged", `The document cannot be read: ${errorMessage(error)}`, { cause: error });
  }
});
