import { errorMessage, limits } from "@millrace/core";
import type { Logger } from "@millrace/runtime";
import type { Span, SpanExporter } from "./question-trace.ts";

export interface OtlpExporterOptions {
  /** Of a collector, without `/v1/traces`: `http://127.0.0.1:4318`. */
  readonly endpoint: string;
  readonly logger: Logger;
}

const flushMs = 1_000;
const timeoutMs = 5_000;
const kinds = { internal: 1, server: 2 } as const;
const failedStatus = { code: 2 } as const;

/**
 * Sends spans to a collector every second, by OpenTelemetry's protocol in JSON over HTTP (OTLP 1.x). A collector that is away costs the spans of that time, and
 * nobody waits for it. The JavaScript SDK would be three packages for this one request.
 */
export class OtlpExporter implements SpanExporter {
  /** Spans that no collector took. */
  lost = 0;
  readonly #options: OtlpExporterOptions;
  #waiting: Span[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OtlpExporterOptions) {
    this.#options = options;
  }

  export(spans: readonly Span[]): void {
    const room = limits.spansWaitingMax - this.#waiting.length;
    this.#waiting.push(...spans.slice(0, room));
    this.lost += Math.max(0, spans.length - room);
    this.#timer ??= setTimeout(() => void this.#flush(), flushMs).unref();
  }

  async close(): Promise<void> {
    await this.#flush();
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const spans = this.#waiting.splice(0);
    if (spans.length === 0) return;
    const { endpoint, logger } = this.#options;
    try {
      const response = await fetch(`${endpoint.replace(/\/$/, "")}/v1/traces`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(requestOf(spans)),
        signal: AbortSignal.timeout(timeoutMs),
      });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`The collector answered ${response.status}`);
    } catch (error) {
      this.lost += spans.length;
      logger.warn({ reason: errorMessage(error), spans: spans.length }, "trace.not_sent");
    }
  }
}

function requestOf(spans: readonly Span[]): object {
  const resource = { attributes: attributesOf({ "service.name": "millrace-query" }) };
  return { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "millrace" }, spans: spans.map(spanOf) }] }] };
}

function spanOf({ traceId, spanId, parentSpanId, name, isRoot, startMs, durationMs, failed, attributes }: Span): object {
  return {
    ...{ traceId, spanId, name, kind: isRoot ? kinds.server : kinds.internal },
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    ...{ startTimeUnixNano: nanosOf(startMs), endTimeUnixNano: nanosOf(startMs + durationMs) },
    attributes: attributesOf(attributes),
    ...(failed ? { status: failedStatus } : {}),
  };
}

/** As text: more digits than a number of JavaScript has. */
function nanosOf(ms: number): string {
  return String(BigInt(Math.round(ms * 1_000)) * 1_000n);
}

function attributesOf(attributes: Span["attributes"]): object[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value:
      typeof value === "string" ? { stringValue: value } : typeof value === "bigint" ? { intValue: String(value) } : { doubleValue: value },
  }));
}
