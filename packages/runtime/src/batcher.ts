import { setMaxListeners } from "node:events";

/**
 * Sends together what is asked at the same time. The first request of its kind goes out at the end of its turn of the event loop; those that come while
 * as many batches as allowed are in flight wait, and leave together when one comes back. So nobody waits for company when there is none, and the
 * busier it gets, the larger the batches.
 */
export interface BatcherOptions<Request, Reply> {
  /** One reply per request, in order. */
  readonly send: (requests: readonly Request[]) => Promise<readonly Reply[]>;
  /** Requests of different kinds never share a batch. Default: all are of one kind. */
  readonly kindOf?: (request: Request) => string;
  readonly sizeMax: number;
  /** What a request counts in `sizeMax`. Default: 1. A larger one than that goes alone. */
  readonly sizeOf?: (request: Request) => number;
  /** Batches of one kind in flight at most. */
  readonly inFlightMax: number;
  /** Batches of all kinds together in flight at most; asked each time. Default: as many as there are kinds. */
  readonly inFlightAllMax?: () => number;
  /**
   * For how many milliseconds those that could leave wait on for company, unless they fill a batch; asked again when that is over or another comes,
   * with the number that waits, and they leave at 0.
   * Default: they leave at once.
   */
  readonly lingerMs?: (last: LastBatch, first: Request, waiting: number) => number;
  /** Whether a batch failed for what one request is, so that each is to be sent alone. Default: never. */
  readonly isOneToBlame?: (error: unknown) => boolean;
}

/** The batch of the same kind that came back last. */
export interface LastBatch {
  readonly tookMs: number;
  readonly agoMs: number;
  /** Whether others waited when it came back. */
  readonly othersWaited: boolean;
}

export interface BatchCounts {
  requests: number;
  batches: number;
}

interface Waiting<Request, Reply> {
  readonly request: Request;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

interface Kind<Request, Reply> {
  readonly waiting: Set<Waiting<Request, Reply>>;
  inFlight: number;
  /** `endedAt` is on the clock of `performance.now()`. */
  last: { readonly tookMs: number; readonly endedAt: number; readonly othersWaited: boolean } | undefined;
  timer: NodeJS.Timeout | undefined;
}

export class Batcher<Request, Reply> {
  readonly counts: BatchCounts = { requests: 0, batches: 0 };
  readonly #options: BatcherOptions<Request, Reply>;
  readonly #kinds = new Map<string, Kind<Request, Reply>>();
  #inFlight = 0;

  constructor(options: BatcherOptions<Request, Reply>) {
    this.#options = options;
  }

  /** Whether something waits or is in flight. */
  get isBusy(): boolean {
    return [...this.#kinds.values()].some(({ waiting, inFlight }) => waiting.size > 0 || inFlight > 0);
  }

  /** @throws what `send` throws, to all of a batch alike; the signal's reason when this caller gives up */
  ask(request: Request, signal: AbortSignal): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const name = this.#options.kindOf?.(request) ?? "";
      let kind = this.#kinds.get(name);
      if (kind === undefined) {
        kind = { waiting: new Set(), inFlight: 0, last: undefined, timer: undefined };
        this.#kinds.set(name, kind);
      }
      const { waiting } = kind;
      const onAbort = (): void => {
        waiting.delete(one);
        reject(signal.reason as Error);
      };
      const one: Waiting<Request, Reply> = {
        request,
        resolve: (reply) => {
          signal.removeEventListener("abort", onAbort);
          resolve(reply);
        },
        reject: (error) => {
          signal.removeEventListener("abort", onAbort);
          reject(error as Error);
        },
      };
      // Many may share a signal; each takes its listener away again, so that more than ten of them are no leak.
      setMaxListeners(0, signal);
      signal.addEventListener("abort", onAbort, { once: true });
      waiting.add(one);
      // One that comes while others linger may fill the batch.
      if (waiting.size === 1 || kind.timer !== undefined) setImmediate(() => this.#dispatch(name, kind));
    });
  }

  #dispatch(name: string, kind: Kind<Request, Reply>): void {
    const { inFlightMax, inFlightAllMax, kindOf } = this.#options;
    const allMax = inFlightAllMax?.() ?? Number.POSITIVE_INFINITY;
    while (kind.waiting.size > 0 && kind.inFlight < inFlightMax && this.#inFlight < allMax) {
      const { batch, isFull } = this.#nextBatch(kind);
      const lingerMs = isFull ? 0 : this.#lingerMs(kind);
      if (lingerMs > 0) {
        kind.timer ??= setTimeout(() => {
          kind.timer = undefined;
          this.#dispatch(name, kind);
        }, lingerMs);
        return;
      }
      clearTimeout(kind.timer);
      kind.timer = undefined;
      for (const one of batch) kind.waiting.delete(one);
      kind.inFlight++;
      this.#inFlight++;
      const sentAt = performance.now();
      void this.#send(batch).finally(() => {
        kind.inFlight--;
        this.#inFlight--;
        const endedAt = performance.now();
        kind.last = { tookMs: endedAt - sentAt, endedAt, othersWaited: kind.waiting.size > 0 };
        // Its turn is over: others that wait for a place come first.
        this.#kinds.delete(name);
        this.#kinds.set(name, kind);
        for (const [each, other] of [...this.#kinds]) this.#dispatch(each, other);
      });
    }
    // Of many kinds, those that nobody asks for any more are forgotten.
    if (kindOf !== undefined && kind.waiting.size === 0 && kind.inFlight === 0 && this.#kinds.get(name) === kind) this.#kinds.delete(name);
  }

  #nextBatch({ waiting }: Kind<Request, Reply>): { batch: Waiting<Request, Reply>[]; isFull: boolean } {
    const { sizeMax, sizeOf = () => 1 } = this.#options;
    const batch: Waiting<Request, Reply>[] = [];
    let size = 0;
    for (const one of waiting) {
      size += sizeOf(one.request);
      if (batch.length > 0 && size > sizeMax) break;
      batch.push(one);
    }
    return { batch, isFull: size >= sizeMax };
  }

  #lingerMs({ last, waiting }: Kind<Request, Reply>): number {
    const [first] = waiting;
    if (this.#options.lingerMs === undefined || last === undefined || first === undefined) return 0;
    return this.#options.lingerMs({ ...last, agoMs: performance.now() - last.endedAt }, first.request, waiting.size);
  }

  async #send(batch: readonly Waiting<Request, Reply>[]): Promise<void> {
    this.counts.batches++;
    this.counts.requests += batch.length;
    try {
      const replies = await this.#options.send(batch.map(({ request }) => request));
      for (const [index, { resolve }] of batch.entries()) resolve(replies[index] as Reply);
    } catch (error) {
      if (batch.length > 1 && this.#options.isOneToBlame?.(error) === true) {
        for (const one of batch) await this.#send([one]);
        return;
      }
      for (const { reject } of batch) reject(error);
    }
  }
}
