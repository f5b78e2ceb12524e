import { type ChildProcess, fork } from "node:child_process";
import { setMaxListeners } from "node:events";
import { createReadStream, type ReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { getPriority, setPriority } from "node:os";
import { fileURLToPath } from "node:url";
import { ConfigError, DependencyError, DocumentError, errorMessage, InvalidInputError, MillraceError } from "@millrace/core";
import type { ChildReply, ChildRequest } from "./child.ts";
import { type Confinement, confinedCommand } from "./confinement.ts";

/**
 * Child processes that answer requests. Work that blocks (inference) or may misbehave (parsing hostile files)
 * runs there: the parent's event loop stays free, and a crash, a hang or a leak costs the requests in that child, not the service.
 * Processes rather than worker threads: a native crash in a thread takes the whole process with it, and a thread's memory cannot be
 * limited or given back.
 *
 * A child is started when a request finds none free, at once or when they have been at work for a while, and lives until it fails, is recycled, or the pool closes.
 */
export interface ChildPoolOptions {
  /** Compiled module that calls `serveChildRequests`. */
  readonly entry: URL;
  /** Children at most; requests that find all of them full wait in order. */
  readonly size: number;
  /** How long every child must have been at what it does before another is started for those that wait: that costs more than much of the work. Default 0. */
  readonly growAfterMs?: number;
  /** Requests in one child at a time; default 1, and no more where they have an `input`. With 2, the next is there when it has answered one, and it never waits for its parent. */
  readonly inFlightPerChildMax?: number;
  /** Added to a child's scheduling priority number, 0 to 19: a higher one gives way to other processes. Default 0. */
  readonly niceness?: number;
  readonly args?: readonly string[];
  /** V8 heap limit of a child, MiB. */
  readonly heapMegabytesMax?: number;
  /** What is new in a child's heap lies in either of two spaces of this size, MiB; V8 lets them grow to 16. */
  readonly semiSpaceMegabytesMax?: number;
  /** A child whose resident memory exceeds this at work is killed, and its request fails with `child.out_of_memory`. Linux only; elsewhere the heap limit stands alone. */
  readonly memoryBytesMax?: number;
  /** Takes files, processes, the network and memory beyond the limit from the children. */
  readonly confinement?: Confinement;
  /** Requests after which an idle child is replaced, so that slow leaks end. */
  readonly requestsPerChildMax?: number;
}

export interface ChildRequestOptions {
  readonly signal: AbortSignal;
  /** The child is killed when it has not answered after this time, counted from when it was sent the request. */
  readonly timeoutMs: number;
  /** A file that the child gets the bytes of, not the path: it needs no right to read any. The whole of it is in the child's memory, a piece at a time in ours. */
  readonly input?: { readonly path: string; readonly bytes: number };
}

interface Waiting {
  readonly message: unknown;
  readonly options: ChildRequestOptions;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

interface Child {
  readonly process: ChildProcess;
  served: number;
  readonly inFlight: Map<number, Waiting & { timer: NodeJS.Timeout }>;
  /** When it was last sent a request, by the monotonic clock in milliseconds. */
  sentAt: number;
  /** What is being read for it. */
  feed: ReadStream | undefined;
  /** Why we killed it, where we did. */
  killedFor: MillraceError | undefined;
  stderrTail: string;
}

const memoryPollMs = 100;

/**
 * Node 20 compiles what it has seen run for a short while, much of it in vain: with eight times the patience the first some hundred documents of a parser take a
 * third less processor time, and the later ones the same. Newer versions have no such flag, and no need of it.
 */
const lateCompilation = process.versions.node.startsWith("20.") ? ["--interrupt-budget=528000"] : [];

export class ChildPool {
  readonly #options: ChildPoolOptions;
  readonly #children = new Set<Child>();
  readonly #waiting: Waiting[] = [];
  #memoryTimer: NodeJS.Timeout | undefined;
  #growTimer: NodeJS.Timeout | undefined;
  #lastId = 0;
  #closed = false;

  constructor(options: ChildPoolOptions) {
    this.#options = options;
  }

  /**
   * @throws DependencyError `child.timeout`, `child.out_of_memory`, `child.crashed` (the child died), `child.input_unreadable`, `child.closed`;
   *   the rebuilt MillraceError when the child's handler threw one; the signal's reason when aborted
   */
  request<T>(message: unknown, options: ChildRequestOptions): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(new DependencyError("child.closed", "The process pool is closed"));
      if (options.signal.aborted) return reject(options.signal.reason as Error);
      const waiting: Waiting = { message, options, resolve, reject };
      // An aborted request leaves the queue at once; one already in a child is left to finish there, its answer unused.
      const onAbort = (): void => {
        const index = this.#waiting.indexOf(waiting);
        if (index >= 0) this.#waiting.splice(index, 1);
        reject(options.signal.reason as Error);
      };
      setMaxListeners(0, options.signal); // any number of requests may wait under one signal
      options.signal.addEventListener("abort", onAbort, { once: true });
      const settle =
        <A>(then: (argument: A) => void) =>
        (argument: A): void => {
          options.signal.removeEventListener("abort", onAbort);
          then(argument);
        };
      this.#waiting.push({ ...waiting, resolve: settle(resolve as (value: never) => void), reject: settle(reject) });
      this.#dispatch();
    });
  }

  /** Kills every child; requests in flight or waiting fail with `child.closed`. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#memoryTimer);
    clearTimeout(this.#growTimer);
    const closed = new DependencyError("child.closed", "The process pool was closed");
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closed);
    await Promise.all(
      [...this.#children].map(
        (child) =>
          new Promise<void>((done) => {
            child.process.once("exit", () => done());
            this.#kill(child, closed);
          }),
      ),
    );
  }

  /** Process ids of the living children, for memory accounting. */
  pids(): number[] {
    return [...this.#children].flatMap((child) => child.process.pid ?? []);
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const child = this.#childWithRoom();
      if (child === undefined) return;
      const next = this.#waiting.shift() as Waiting;
      const timer = setTimeout(() => {
        this.#kill(child, new DependencyError("child.timeout", `No answer within ${next.options.timeoutMs} ms`));
      }, next.options.timeoutMs);
      const id = ++this.#lastId;
      child.inFlight.set(id, { ...next, timer });
      child.sentAt = performance.now();
      const request: ChildRequest = { id, message: next.message, inputBytes: next.options.input?.bytes ?? 0 };
      child.process.send(request, (error) => {
        if (error !== null) this.#kill(child, new DependencyError("child.crashed", errorMessage(error), { cause: error }));
      });
      this.#feed(child, next.options.input);
    }
  }

  #feed(child: Child, input: ChildRequestOptions["input"]): void {
    if (input === undefined || input.bytes === 0) return;
    const unreadable = (reason: string): void =>
      this.#kill(child, new DependencyError("child.input_unreadable", `${input.path} cannot be read: ${reason}`));
    const file = createReadStream(input.path, { end: input.bytes - 1 });
    file.once("error", (error) => unreadable(error.message));
    file.once("end", () => {
      if (file.bytesRead < input.bytes) unreadable(`it has ${file.bytesRead} bytes, not ${input.bytes}`);
    });
    child.feed = file;
    if (child.process.stdin !== null) file.pipe(child.process.stdin, { end: false });
  }

  /** An idle child, else a new one where the first has waited long enough for it, else the one with the least to do. */
  #childWithRoom(): Child | undefined {
    const { inFlightPerChildMax = 1, requestsPerChildMax = Number.POSITIVE_INFINITY } = this.#options;
    const [least] = [...this.#children]
      .filter((child) => child.killedFor === undefined && child.served + child.inFlight.size < requestsPerChildMax)
      .sort((a, b) => a.inFlight.size - b.inFlight.size);
    if (least?.inFlight.size === 0) return least;
    return (
      (this.#mayGrow() ? this.#spawn() : undefined) ??
      (least !== undefined && least.inFlight.size < inFlightPerChildMax ? least : undefined)
    );
  }

  #mayGrow(): boolean {
    const { growAfterMs = 0, size } = this.#options;
    if (growAfterMs === 0 || this.#children.size === 0) return true;
    const leftMs = Math.max(...[...this.#children].map(({ sentAt }) => sentAt)) + growAfterMs - performance.now();
    if (leftMs <= 0) return true;
    if (this.#children.size < size) {
      clearTimeout(this.#growTimer);
      this.#growTimer = setTimeout(() => this.#dispatch(), leftMs);
    }
    return false;
  }

  #spawn(): Child | undefined {
    if (this.#closed || this.#children.size >= this.#options.size) return undefined;
    const { entry, args = [], heapMegabytesMax, semiSpaceMegabytesMax, confinement, memoryBytesMax, niceness = 0 } = this.#options;
    // All cores are busy where a pool is: garbage collection in several threads would wait for them.
    const nodeArguments = ["--single-threaded-gc", ...lateCompilation];
    if (heapMegabytesMax !== undefined) nodeArguments.push(`--max-old-space-size=${heapMegabytesMax}`);
    if (semiSpaceMegabytesMax !== undefined) nodeArguments.push(`--max-semi-space-size=${semiSpaceMegabytesMax}`);
    const command = confinement === undefined ? { execArgv: nodeArguments } : confinedCommand(nodeArguments, confinement, memoryBytesMax);
    const process_ = fork(fileURLToPath(entry), [...args], {
      // Typed arrays cross without being turned into JSON.
      serialization: "advanced",
      ...command,
      // A child gets no configuration and no secrets from the environment.
      env: {},
      stdio: ["pipe", "ignore", "pipe", "ipc"],
    });
    process_.stdin?.on("error", () => undefined); // the child's end says why
    const child: Child = {
      process: process_,
      served: 0,
      inFlight: new Map(),
      sentAt: 0,
      feed: undefined,
      killedFor: undefined,
      stderrTail: "",
    };
    this.#children.add(child);
    if (niceness > 0 && process_.pid !== undefined) lowerPriority(process_.pid, niceness);
    process_.stderr?.on("data", (data: Buffer) => {
      child.stderrTail = (child.stderrTail + data.toString()).slice(-2_000);
    });
    process_.on("message", (reply: ChildReply) => this.#onReply(child, reply));
    process_.on("error", () => undefined); // always followed by "exit" or a failed send
    process_.on("exit", (code, signal) => this.#onExit(child, code, signal));
    if (this.#options.memoryBytesMax !== undefined && this.#memoryTimer === undefined) {
      this.#memoryTimer = setInterval(() => void this.#checkMemory(), memoryPollMs).unref();
    }
    return child;
  }

  #onReply(child: Child, reply: ChildReply): void {
    const current = child.inFlight.get(reply.id);
    if (current === undefined) return;
    clearTimeout(current.timer);
    child.inFlight.delete(reply.id);
    child.served++;
    if (reply.error === undefined) current.resolve(reply.value as never);
    else current.reject(rebuilt(reply.error));
    // What has been at its memory limit once is not trusted to be whole.
    const isSuspect = reply.error?.code === "child.out_of_memory";
    if (isSuspect || (child.inFlight.size === 0 && child.served >= (this.#options.requestsPerChildMax ?? Number.POSITIVE_INFINITY))) {
      this.#kill(child, new DependencyError("child.closed", "Recycled"));
    }
    this.#dispatch();
  }

  #onExit(child: Child, code: number | null, signal: NodeJS.Signals | null): void {
    this.#children.delete(child);
    child.feed?.destroy();
    for (const { timer, reject } of child.inFlight.values()) {
      clearTimeout(timer);
      reject(child.killedFor ?? exitError(child, code, signal));
    }
    this.#dispatch();
  }

  #kill(child: Child, reason: MillraceError): void {
    child.killedFor ??= reason;
    child.process.kill("SIGKILL");
  }

  /** Of those at work: what does nothing does not grow, and to look costs as much as a small document does. */
  async #checkMemory(): Promise<void> {
    const bytesMax = this.#options.memoryBytesMax as number;
    for (const child of this.#children) {
      if (child.inFlight.size === 0) continue;
      const bytes = await residentBytes(child.process.pid);
      if (bytes > bytesMax) {
        const mebibytes = Math.round(bytesMax / 1_048_576);
        this.#kill(child, new DependencyError("child.out_of_memory", `More than ${mebibytes} MiB of memory needed`));
      }
    }
  }
}

/** The class says what the caller does next, so it crosses too. */
const errorClasses = { InvalidInputError, DocumentError, DependencyError, ConfigError } as const;

function rebuilt({ name, code, message, retryable, hint }: NonNullable<ChildReply["error"]>): MillraceError {
  const options = hint === undefined ? {} : { hint };
  const ErrorClass = errorClasses[name as keyof typeof errorClasses] as (typeof errorClasses)[keyof typeof errorClasses] | undefined;
  return ErrorClass === undefined ? new MillraceError(code, message, retryable, options) : new ErrorClass(code, message, options);
}

function lowerPriority(pid: number, niceness: number): void {
  try {
    setPriority(pid, Math.min(getPriority() + niceness, 19));
  } catch {
    // It has ended already, or the system does not let us: it works all the same.
  }
}

function exitError(child: Child, code: number | null, signal: NodeJS.Signals | null): MillraceError {
  // V8 aborts when its heap limit is reached; the message on stderr tells it from other aborts.
  if (/out of memory|allocation failed|bad_alloc/i.test(child.stderrTail)) {
    return new DependencyError("child.out_of_memory", "The memory limit was reached");
  }
  const tail = child.stderrTail.trim().split("\n").at(-1) ?? "";
  return new DependencyError("child.crashed", `The process ended with ${signal ?? `code ${code}`}${tail === "" ? "" : `: ${tail}`}`);
}

/** Resident bytes of a process from /proc; 0 where that does not exist. */
async function residentBytes(pid: number | undefined): Promise<number> {
  try {
    const pages = (await readFile(`/proc/${pid}/statm`, "utf8")).split(" ")[1];
    return Number(pages) * 4_096;
  } catch {
    return 0; // no procfs here, or the process has just ended
  }
}
