import { readSync } from "node:fs";
import { errorMessage, MillraceError } from "@millrace/core";

/**
 * The child's side of `ChildPool`, apart from the rest of this package, which a child has no use for: Redis client, logger and configuration would take it
 * longer to load than all it needs, and 17 MB.
 */

/** What goes to a child; the bytes of the input follow on its standard input. */
export interface ChildRequest {
  readonly id: number;
  readonly message: unknown;
  readonly inputBytes: number;
}

export interface ChildReply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: {
    readonly name: string;
    readonly code: string;
    readonly message: string;
    readonly retryable: boolean;
    readonly hint: string | undefined;
  };
}

/**
 * Whether an error says that memory could not be had: the limit acts inside the allocation, and V8 or a WebAssembly library reports it there. Known by
 * its message alone, since libraries wrap the RangeError in errors of their own.
 */
export function isOutOfMemory(error: unknown): error is Error {
  return error instanceof Error && /array buffer allocation failed|failed to grow the heap|cannot enlarge memory/i.test(error.message);
}

/**
 * The child's side: answers each message with the handler's value or error; a handler that awaits may be called again meanwhile. When the parent is
 * gone, so is the reason to live.
 * @param handler gets the bytes of the request's input, empty where it has none
 */
export function serveChildRequests(handler: (message: never, input: Uint8Array) => Promise<unknown>): void {
  const send = (reply: ChildReply): void => void process.send?.(reply);
  const answer = async ({ message, inputBytes }: ChildRequest): Promise<unknown> => handler(message as never, readInput(inputBytes));
  process.on("message", (request: ChildRequest) => {
    const { id } = request;
    answer(request).then(
      (value) => send({ id, value }),
      (error: unknown) => {
        const known = error instanceof MillraceError ? error : undefined;
        send({
          id,
          error: {
            name: known?.name ?? "Error",
            code: known?.code ?? (isOutOfMemory(error) ? "child.out_of_memory" : "child.failed"),
            message: errorMessage(error),
            retryable: known?.retryable ?? false,
            hint: known?.hint,
          },
        });
      },
    );
  });
  process.on("disconnect", () => process.exit(0));
  // Ctrl-C in a terminal signals the whole process group; the parent decides when its children end.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => undefined);
}

/** Blocks until all is there: a child has nothing else to do meanwhile. */
function readInput(bytes: number): Uint8Array {
  const input = new Uint8Array(bytes);
  for (let at = 0; at < bytes; ) {
    const read = readSync(0, input, at, bytes - at, null);
    if (read === 0) process.exit(0); // the parent is gone
    at += read;
  }
  return input;
}
