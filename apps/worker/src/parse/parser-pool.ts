import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { DocumentError, isMillraceError, limits, type MediaType } from "@millrace/core";
import { ChildPool } from "@millrace/runtime";
import type { ParseRequest } from "./parse-process.ts";
import type { ParsedPart } from "./parser.ts";

export interface ParserPoolOptions {
  /** Documents parsed at the same time. */
  readonly size: number;
  readonly timeoutMs: number;
  readonly memoryBytesMax: number;
  /** How far parsers give way to other processes, 0 to 19. Default 0. */
  readonly niceness?: number;
}

/** A child is replaced after so many documents, so that what a library leaks has an end; while it is, for a tenth of a second, the model may run out of work. */
const documentsPerChildMax = 2_000;

/** Most documents are parsed sooner than a process starts: a second one is for those that wait behind a slow one, and not behind one that is just starting. */
const growAfterMs = 1_000;

/** The folders that hold this program and its libraries: all that a parser process may read. */
const program = ["apps", "packages", "node_modules"].map((folder) => fileURLToPath(new URL(`../../../../${folder}/`, import.meta.url)));

/** Parses in child processes with limits and without rights; their death is a typed outcome of one document. */
export class ParserPool {
  readonly #pool: ChildPool;
  readonly #options: ParserPoolOptions;

  constructor(options: ParserPoolOptions) {
    this.#options = options;
    const { size, memoryBytesMax, niceness = 0 } = options;
    this.#pool = new ChildPool({
      entry: new URL("../../dist/parse/parse-process.js", import.meta.url),
      size,
      growAfterMs,
      memoryBytesMax,
      niceness,
      heapMegabytesMax: Math.floor(memoryBytesMax / 1_048_576),
      confinement: { readable: program },
      requestsPerChildMax: documentsPerChildMax,
    });
  }

  /**
   * @param path of a file with the source bytes
   * @param fromPage first page of the part wanted, 1-based
   * @throws DocumentError `parse.*`; DependencyError `child.closed` when the pool closes
   */
  async parse(path: string, mediaType: MediaType, fromPage: number, signal: AbortSignal): Promise<ParsedPart> {
    const request: ParseRequest = { mediaType, fromPage };
    const { size: bytes } = await stat(path);
    if (bytes > limits.documentBytesMax) {
      throw new DocumentError("parse.too_large", `${bytes} bytes, more than the limit of ${limits.documentBytesMax}`, {
        hint: "Split the document.",
      });
    }
    try {
      return await this.#pool.request<ParsedPart>(request, { signal, timeoutMs: this.#options.timeoutMs, input: { path, bytes } });
    } catch (error) {
      throw this.#documentError(error);
    }
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  #documentError(error: unknown): unknown {
    if (!isMillraceError(error)) return error;
    const { timeoutMs, memoryBytesMax } = this.#options;
    switch (error.code) {
      case "child.timeout":
        return new DocumentError("parse.timeout", `Parsing took longer than ${timeoutMs} ms`, {
          cause: error,
          hint: "Raise MILLRACE_PARSE_TIMEOUT_MS, or split the document.",
        });
      case "child.out_of_memory":
        return new DocumentError("parse.out_of_memory", `Parsing needs more than ${Math.round(memoryBytesMax / 1_048_576)} MiB of memory`, {
          cause: error,
          hint: "Raise MILLRACE_PARSE_MEMORY_BYTES_MAX, or split the document.",
        });
      case "child.crashed":
        return new DocumentError("parse.crashed", `The parser died on this document: ${error.message}`, { cause: error });
      default:
        return error;
    }
  }
}
