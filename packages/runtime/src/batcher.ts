import { setMaxListeners } from "node:events";

/**
 * Sends together what is asked at the same time. The first request of its kind goes out at the end of its turn of the event loop; those that come while
 * as many batches as allowed are in flight wait, and leave together when one comes back. So nobody waits for company when there is none, and the
 * busier it gets, the larger the batches.
 *
 * Who has its reply often asks again. Were those that wait sent as soon as a batch comes back, callers would fall into two groups for good, each of which waits
 * for the other; with `linger` they wait a little longer, and go together with those who come back.
 */
export interface BatcherOptions<Request, Reply> {
  /** One reply per request, in order. */
  readonly send: (requests: readonly Request[]) => Promise<readonly Reply[]>;
  /** Requests of different kinds never share a batch. Default: all are of one kind. */
  readonly kindOf?: (request: Request) => string;
  readonly sizeMax: number;
  /** What a request counts in `sizeMax`. Default: 1. A larger one than that goes alone. */
  readonly sizeOf?: (request: Request) => number;
  /** After a batch the next of its kind waits for so long for company, unless it is full. Default 0. */
  readonly restMs?: number;
  /** Batches of one kind in flight at most. */
  readonly inFlightMax: number;
  /** Batches of all kinds together in flight at most; asked each time. Default: as many as there are kinds. */
  readonly inFlightAllMax?: () => number;
  /** Those that wait when a batch comes back wait for company, an eighth as long as the batch took, or up to half where more are coming. Default: they leave at once. */
  readonly linger?: {
    /** Whether requests like this one are on their way. */
    readonly isMoreComing: (like: Request) => boolean;
  };
  /** Whether a batch failed for what one request is, so that each is to be sent alone. Default: never. */
  readonly isOneToBlame?: (error: unknown) => boolean;
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
  /** Until when those that wait linger, and at most where more are coming; on the clock of `performance.now()`. */
  lingers: { readonly until: number; readonly untilMax: number } | undefined;
  timer: NodeJS.Timeout | undefined;
  resting: boolean;
}

/** How often it is looked whether those that linger have had company enough. */
const lingerPollMs = 1;

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
        kind = { waiting: new Set(), inFlight: 0, lingers: undefined, timer: undefined, resting: false };
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
      if (waiting.size === 1) setImmediate(() => this.#dispatch(name, kind));
    });
  }

  #dispatch(name: string, kind: Kind<Request, Reply>): void {
    const { inFlightMax, inFlightAllMax, restMs = 0 } = this.#options;
    const allMax = inFlightAllMax?.() ?? Number.POSITIVE_INFINITY;
    while (kind.waiting.size > 0 && kind.inFlight < inFlightMax && this.#inFlight < allMax) {
      if (this.#lingers(kind)) {
        kind.timer ??= setTimeout(() => {
          kind.timer = undefined;
          this.#dispatch(name, kind);
        }, lingerPollMs);
        return;
      }
      const batch = this.#nextBatch(kind);
      if (kind.resting && batch.length === kind.waiting.size) break; // there is room in it
      for (const one of batch) kind.waiting.delete(one);
      if (restMs > 0) this.#rest(name, kind, restMs);
      kind.inFlight++;
      this.#inFlight++;
      const sentAt = performance.now();
      void this.#send(batch).finally(() => {
        kind.inFlight--;
        this.#inFlight--;
        const now = performance.now();
        kind.lingers = kind.waiting.size === 0 ? undefined : { until: now + (now - sentAt) / 8, untilMax: now + (now - sentAt) / 2 };
        // Its turn is over: others that wait for a place come first.
        this.#kinds.delete(name);
        this.#kinds.set(name, kind);
        for (const [each, other] of [...this.#kinds]) this.#dispatch(each, other);
      });
    }
    if (kind.waiting.size === 0 && kind.inFlight === 0 && !kind.resting && this.#kinds.get(name) === kind) this.#kinds.delete(name);
  }

  #nextBatch({ waiting }: Kind<Request, Reply>): Waiting<Request, Reply>[] {
    const { sizeMax, sizeOf = () => 1 } = this.#options;
    const batch: Waiting<Request, Reply>[] = [];
    let size = 0;
    for (const one of waiting) {
      size += sizeOf(one.request);
      if (batch.length > 0 && size > sizeMax) break;
      batch.push(one);
    }
    return batch;
  }

  #rest(name: string, kind: Kind<Request, Reply>, restMs: number): void {
    if (kind.resting) return; // this one was full; the rest goes on
    kind.resting = true;
    setTimeout(() => {
      kind.resting = false;
      this.#dispatch(name, kind);
    }, restMs);
  }

  #lingers({ lingers, waiting }: Kind<Request, Reply>): boolean {
    const { linger, sizeMax } = this.#options;
    const [first] = waiting;
    if (linger === undefined || lingers === undefined || first === undefined || waiting.size >= sizeMax) return false;
    const now = performance.now();
    return now < lingers.until || (now < lingers.untilMax && linger.isMoreComing(first.request));
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
