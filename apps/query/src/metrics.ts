import type { AnswerCache, CachedQueryEmbedder, CacheRedis, QuestionCache } from "@millrace/cache";
import type { CacheResult } from "@millrace/core";
import type { BatchingEmbedder } from "@millrace/embedding";
import type { MilvusVectorStore } from "@millrace/vector-store";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Admission } from "./admission.ts";
import type { Sessions } from "./ask/sessions.ts";
import type { Quotas } from "./quota/quotas.ts";
import type { RecallSampler } from "./recall-sampler.ts";

export interface QueryMetrics {
  readonly contentType: string;
  /** Call at the start of a request, and what it returns at its end. */
  startRequest(): (route: string, status: number) => void;
  /** A step of answering a question. */
  observeStep(step: string, seconds: number): void;
  /** A question that was answered, by how the answer came about. */
  countAnswer(result: CacheResult | "extractive"): void;
  render(): Promise<string>;
}

/** What counts for itself, and is read when metrics are asked for. */
export interface WatchedParts {
  readonly answers: AnswerCache;
  readonly embedder: CachedQueryEmbedder;
  readonly cache: CacheRedis;
  readonly embedding: BatchingEmbedder;
  readonly store: MilvusVectorStore;
  readonly admission: Admission;
  readonly quotas: Quotas;
  readonly sessions: Sessions;
  readonly questions: QuestionCache;
  readonly recall: RecallSampler;
}

/**
 * Prometheus metrics of the query service; event-loop delay and memory come with the default ones. No ids in labels. The default ones begin when somebody first asks: to watch
 * the event loop a timer fires 100 times a second, and each collection of garbage is an event, which nobody has paid for who does not look.
 */
export function createMetrics(watched: WatchedParts): QueryMetrics {
  const registry = new Registry();
  let isFirst = true;
  const duration = new Histogram({
    name: "millrace_http_request_duration_seconds",
    help: "Time to answer a request.",
    labelNames: ["route", "status"],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [registry],
  });
  const steps = new Histogram({
    name: "millrace_ask_step_duration_seconds",
    help: "Time of each step of answering a question.",
    labelNames: ["step"],
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
    registers: [registry],
  });
  const answered = new Counter({
    name: "millrace_answers_total",
    help: "Answers by where they came from: an earlier one (hit; semantic: to other words), the model (miss), or sentences of the sources (extractive).",
    labelNames: ["result"],
    registers: [registry],
  });
  const seriesByName = new Map<string, { observe(seconds: number): void }>();
  const counted = (name: string, help: string, label: string, read: () => Readonly<Record<string, number>>): void => {
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        this.reset();
        for (const [value, count] of Object.entries(read())) this.inc({ [label]: value }, count);
      },
    });
  };
  const measured = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  };
  const { answers, embedder, cache, embedding, store, admission, quotas, sessions, questions, recall } = watched;
  const byLevel = ({ memoryHits, redisHits, misses }: CachedQueryEmbedder["counts"]) => ({
    memory: memoryHits,
    redis: redisHits,
    none: misses,
  });
  counted(
    "millrace_search_cache_lookups_total",
    "Searches by the cache level that answered; stale: with an answer of some seconds ago; none: a miss.",
    "level",
    () => ({ ...byLevel(answers.counts), stale: answers.counts.stale }),
  );
  counted("millrace_query_vector_lookups_total", "Vectors of queries by the cache level that had them; none: embedded.", "level", () =>
    byLevel(embedder.counts),
  );
  counted(
    "millrace_single_flight_total",
    "Missed searches: led (computed), joined (same process), followed (another process).",
    "role",
    () => ({
      ...answers.flights.counts,
    }),
  );
  counted("millrace_ask_single_flight_total", "Questions not answered from the cache, by role as for searches.", "role", () => ({
    ...questions.flights.counts,
  }));
  counted("millrace_cache_redis_failures_total", "Commands to the cache Redis that failed or timed out.", "kind", () => ({
    command: cache.failures,
    question: questions.failures,
  }));
  counted("millrace_batched_queries_total", "Queries embedded (embedding) or searched for (store) on a miss.", "stage", () => ({
    embedding: embedding.counts.requests,
    store: store.searchCounts.requests,
  }));
  counted("millrace_batches_total", "Requests that carried them: queries divided by batches is the mean batch.", "stage", () => ({
    embedding: embedding.counts.batches,
    store: store.searchCounts.batches,
  }));
  counted("millrace_search_refused_total", "Searches refused because too many waited.", "reason", () => ({
    overloaded: admission.counts.overloaded,
    project: admission.counts.projectOverloaded,
  }));
  counted("millrace_quota_refused_total", "Requests that a quota did not allow.", "unit", () => ({ ...quotas.refused }));
  counted("millrace_quota_redis_failures_total", "Calls about quotas that Redis did not answer.", "kind", () => ({
    command: quotas.failures,
  }));
  counted(
    "millrace_sessions_total",
    "Turns of conversations remembered, conversations recalled for a question, and calls for either that failed.",
    "outcome",
    () => ({ ...sessions.counts }),
  );
  measured("millrace_searches_running", "Searches being computed.", () => admission.running);
  measured("millrace_searches_waiting", "Searches waiting to be computed.", () => admission.waiting);
  measured("millrace_search_cache_memory_bytes", "Bytes of answers kept in this process.", () => answers.memory.bytes);
  measured("millrace_cache_breaker_open", "1 while the cache Redis is left alone, 0.5 while one command tries it.", () =>
    cache.state === "open" ? 1 : cache.state === "half-open" ? 0.5 : 0,
  );
  new Gauge({
    name: "millrace_search_recall",
    help: "Of the rows nearer than the k-th hit, the share that vector searches returned; from those that were answered exactly as well.",
    labelNames: ["k"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [k, { expected, returned }] of recall.counts) if (expected > 0) this.set({ k }, returned / expected);
    },
  });
  const byDepth = (count: "expected" | "returned") => () => Object.fromEntries([...recall.counts].map(([k, counts]) => [k, counts[count]]));
  counted("millrace_search_recall_expected_total", "Rows nearer than the k-th hit that were looked at.", "k", byDepth("expected"));
  counted("millrace_search_recall_returned_total", "Those of them that the search had returned.", "k", byDepth("returned"));
  counted("millrace_search_recall_checks_total", "Vector searches that were answered exactly as well.", "kind", () => ({
    dense: recall.checked,
  }));
  return {
    contentType: registry.contentType,
    startRequest: () => {
      const startedAt = performance.now();
      return (route, status) => {
        // Labels are looked up once for each pair: that costs more than counting.
        const name = `${status} ${route}`;
        let series = seriesByName.get(name);
        if (series === undefined) {
          series = duration.labels(route, String(status));
          seriesByName.set(name, series);
        }
        series.observe((performance.now() - startedAt) / 1_000);
      };
    },
    observeStep: (step, seconds) => steps.observe({ step }, seconds),
    countAnswer: (result) => answered.inc({ result }),
    render: () => {
      if (isFirst) collectDefaultMetrics({ register: registry });
      isFirst = false;
      return registry.metrics();
    },
  };
}
