import { randomUUID } from "node:crypto";
import { errorMessage, type LanguageModel, limits, type Usage } from "@millrace/core";
import type { Logger, QuotaConfig } from "@millrace/runtime";
import { LocalQuotaStore } from "./local-quota-store.ts";
import { MeteredModel } from "./metered-model.ts";
import { QuotaRefusal, quotaHeaders } from "./quota-headers.ts";
import { type Caller, claimsOf, type PolicyClaim, type QuotaUnit } from "./quota-policy.ts";
import type { Lease, QuotaStore, Taken } from "./quota-store.ts";

/** A question that was let in. */
export interface QuestionTicket {
  /** For the reply. */
  readonly headers: Readonly<Record<string, string>>;
  /** The model within the caller's quotas of tokens. Its `generate` throws QuotaRefusal where they are used up, and `onUsed` is told of what was used. */
  metered(model: LanguageModel, onUsed: (usage: Usage) => void): LanguageModel;
  /** Call when its answer has ended, however it did. */
  end(): void;
}

/** Redis is left alone for so long after it failed, so that not every question waits for it. */
const awayMs = 1_000;

/**
 * What callers may use: requests and tokens in any minute, streams at a time, of a key and of a project. Counted in Redis for all processes together.
 * While Redis is away, questions fail closed: each process allows its share of every quota by a count of its own. Searches stay open.
 */
export class Quotas {
  /** Requests that each kind of quota did not allow. */
  readonly refused: Record<QuotaUnit, number> = { requests: 0, tokens: 0, streams: 0, searches: 0 };
  /** Calls that Redis did not answer. */
  failures = 0;
  readonly #shared: QuotaStore;
  readonly #local = new LocalQuotaStore();
  readonly #config: QuotaConfig;
  readonly #logger: Logger;
  readonly #leases = new Set<Lease>();
  #renewal: NodeJS.Timeout | undefined;
  #awayUntil = 0;

  constructor(shared: QuotaStore, config: QuotaConfig, logger: Logger) {
    this.#shared = shared;
    this.#config = config;
    this.#logger = logger;
  }

  /**
   * Lets a question in. Its tokens are claimed when it is known how many a call of the model needs; here, some must be left.
   * @throws QuotaRefusal 429
   */
  async admitQuestion(caller: Caller, { stream }: { readonly stream: boolean }): Promise<QuestionTicket> {
    const leases = stream ? claimsOf(this.#config, caller, "streams", 1) : [];
    const claims = [...claimsOf(this.#config, caller, "requests", 1), ...claimsOf(this.#config, caller, "tokens", 0), ...leases];
    const lease: Lease = { keys: leases.map(({ key }) => key), leaseId: randomUUID() };
    const { taken } = await this.#take(claims, lease.leaseId);
    if (leases.length > 0) this.#keep(lease);
    return {
      headers: quotaHeaders(claims, taken),
      metered: (model, onUsed) => new MeteredModel(model, (tokens) => this.#claimTokens(caller, tokens), onUsed),
      end: () => {
        if (!this.#leases.delete(lease)) return;
        void this.#local.release(lease);
        // One that cannot be given back runs out.
        void this.#attempt(
          () => this.#shared.release(lease),
          async () => undefined,
        );
      },
    };
  }

  /**
   * Lets a search in; undefined where searches have no quota. The headers for its reply; none while Redis is away.
   * @throws QuotaRefusal 429
   */
  admitSearch(caller: Caller): Promise<Readonly<Record<string, string>>> | undefined {
    const claims = claimsOf(this.#config, caller, "searches", 1);
    if (claims.length === 0) return undefined;
    const attempted = this.#attempt<Taken | undefined>(
      () => this.#shared.take(claims, ""),
      async () => undefined,
    );
    return attempted.then((taken) => {
      if (taken?.isAdmitted === false) throw this.#refusal(claims, taken);
      return taken === undefined ? {} : quotaHeaders(claims, taken);
    });
  }

  /** Leases are renewed no longer: they run out, unless they are given back before. */
  close(): void {
    clearInterval(this.#renewal);
  }

  /** Claims tokens before they are used; what is returned is told how many were. */
  async #claimTokens(caller: Caller, tokens: number): Promise<(used: number) => Promise<void>> {
    const claims = claimsOf(this.#config, caller, "tokens", tokens);
    if (claims.length === 0) return async () => undefined;
    const { taken, store } = await this.#take(claims, "");
    const keys = claims.map(({ key }) => key);
    return (used) =>
      this.#attempt(
        () => store.settle(keys, taken.slice, used - tokens),
        async () => undefined,
      );
  }

  /** @throws QuotaRefusal */
  async #take(claims: readonly PolicyClaim[], leaseId: string): Promise<{ readonly taken: Taken; readonly store: QuotaStore }> {
    if (claims.length === 0) return { taken: { isAdmitted: true, states: [], retryMs: 0, slice: 0 }, store: this.#shared };
    let store: QuotaStore = this.#shared;
    const takeShare = (): Promise<Taken> => {
      store = this.#local;
      const shares = claims.map((claim) => ({ ...claim, max: Math.ceil(claim.max * limits.quotaLocalShare) }));
      return store.take(shares, leaseId);
    };
    const taken = await this.#attempt(() => this.#shared.take(claims, leaseId), takeShare);
    if (!taken.isAdmitted) throw this.#refusal(claims, taken);
    return { taken, store };
  }

  #refusal(claims: readonly PolicyClaim[], taken: Taken): QuotaRefusal {
    const refusal = new QuotaRefusal(claims, taken);
    this.refused[refusal.unit]++;
    return refusal;
  }

  #keep(lease: Lease): void {
    this.#leases.add(lease);
    this.#renewal ??= setInterval(() => {
      void this.#attempt(
        () => this.#shared.renew([...this.#leases]),
        async () => undefined,
      );
    }, this.#shared.leaseMs / 3).unref();
  }

  async #attempt<T>(call: () => Promise<T>, otherwise: () => Promise<T>): Promise<T> {
    if (performance.now() < this.#awayUntil) return otherwise();
    try {
      return await call();
    } catch (error) {
      this.failures++;
      this.#awayUntil = performance.now() + awayMs;
      this.#logger.warn({ reason: errorMessage(error) }, "quota.redis_failed");
      return otherwise();
    }
  }
}
