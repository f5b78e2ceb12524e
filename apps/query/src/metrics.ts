import type { CacheCounts } from "@millrace/cache";
import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";

export interface QueryMetrics {
  readonly contentType: string;
  /** Call at the start of a request, and what it returns at its end. */
  startRequest(): (route: string, status: number) => void;
  render(): Promise<string>;
}

/** Prometheus metrics of the query service; event-loop delay and memory come with the default ones. No ids in labels. */
export function createMetrics(cache: CacheCounts): QueryMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const duration = new Histogram({
    name: "millrace_http_request_duration_seconds",
    help: "Time to answer a request.",
    labelNames: ["route", "status"],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [registry],
  });
  for (const outcome of ["hits", "misses", "errors"] as const) {
    new Counter({
      name: `millrace_search_cache_${outcome}_total`,
      help: `Search cache ${outcome} since the start.`,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(cache[outcome]);
      },
    });
  }
  return {
    contentType: registry.contentType,
    startRequest: () => {
      const end = duration.startTimer();
      return (route, status) => {
        end({ route, status: String(status) });
      };
    },
    render: () => registry.metrics(),
  };
}
