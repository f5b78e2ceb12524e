import { randomBytes } from "node:crypto";

/** A piece of work in a trace, as OpenTelemetry has it. */
export interface Span {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly isRoot: boolean;
  /** Milliseconds since 1970, with fractions. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly failed: boolean;
  /** Whole numbers as bigints: a name has one type. */
  readonly attributes: Readonly<Record<string, string | number | bigint>>;
}

export interface SpanExporter {
  /** Never throws and never waits. */
  export(spans: readonly Span[]): void;
}

/** `traceparent` of W3C's Trace Context. */
const traceparentPattern = /^[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}/;

/** The steps of one question and their time; with an exporter also as spans of a trace, which goes on from the caller's where it has one. */
export class QuestionTrace {
  /** Milliseconds of each step; what a step is made of is in the spans alone. */
  readonly timings: Record<string, number> = {};
  readonly #exporter: SpanExporter | undefined;
  readonly #startedAt = performance.now();
  readonly #traceId: string;
  readonly #callerSpanId: string | undefined;
  readonly #rootSpanId = newId(8);
  readonly #spans: Omit<Span, "attributes">[] = [];
  /** Span of the step that runs. */
  #current: string | undefined;

  /** @param traceparent of the caller; anything else than one is as none */
  constructor(exporter?: SpanExporter, traceparent = "") {
    const [, traceId = newId(16), callerSpanId] = traceparentPattern.exec(traceparent) ?? [];
    this.#exporter = exporter;
    this.#traceId = traceId;
    this.#callerSpanId = callerSpanId;
  }

  get tookMs(): number {
    return rounded(performance.now() - this.#startedAt);
  }

  /** Runs a step. @returns what it returns, and throws what it throws */
  step<T>(name: string, action: () => Promise<T>, observe: (seconds: number) => void = () => undefined): Promise<T> {
    const spanId = newId(8);
    this.#current = spanId;
    return this.#timed(name, spanId, this.#rootSpanId, action, (durationMs) => {
      this.timings[name] = rounded(durationMs);
      observe(durationMs / 1_000);
    });
  }

  /** Runs a part of the step that runs. */
  part<T>(name: string, action: () => Promise<T>): Promise<T> {
    return this.#exporter === undefined ? action() : this.#timed(name, newId(8), this.#current ?? this.#rootSpanId, action);
  }

  /** Hands the spans over, each with its share of the whole time. */
  end(attributes: Span["attributes"], failed = false): void {
    if (this.#exporter === undefined) return;
    const root = { name: "ask", spanId: this.#rootSpanId, parentSpanId: this.#callerSpanId, isRoot: true, failed };
    const durationMs = performance.now() - this.#startedAt;
    const whole = { ...root, traceId: this.#traceId, startMs: performance.timeOrigin + this.#startedAt, durationMs, attributes };
    const shareOf = (ms: number): number => Math.round((ms / durationMs) * 1_000) / 1_000;
    this.#exporter.export([whole, ...this.#spans.map((span) => ({ ...span, attributes: { "millrace.share": shareOf(span.durationMs) } }))]);
  }

  async #timed<T>(
    name: string,
    spanId: string,
    parentSpanId: string,
    action: () => Promise<T>,
    done: (durationMs: number) => void = () => undefined,
  ): Promise<T> {
    const begunAt = performance.now();
    let failed = true;
    try {
      const result = await action();
      failed = false;
      return result;
    } finally {
      const durationMs = performance.now() - begunAt;
      done(durationMs);
      const place = { traceId: this.#traceId, spanId, parentSpanId, isRoot: false };
      if (this.#exporter !== undefined) this.#spans.push({ ...place, name, startMs: performance.timeOrigin + begunAt, durationMs, failed });
    }
  }
}

function newId(bytes: number): string {
  return randomBytes(bytes).toString("hex");
}

function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
