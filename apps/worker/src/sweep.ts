import { errorMessage, type ProjectName } from "@millrace/core";
import type { Finding, Ledger, Reconciler, RedriveCursor } from "@millrace/ledger";
import type { Producer } from "@millrace/queue";
import type { Logger, Redis } from "@millrace/runtime";

export interface SweepDeps {
  readonly redis: Redis;
  readonly ledger: Ledger;
  /** Whether the project's vectors are of the space that this worker's store holds: another's rows would all seem missing. */
  readonly inOurSpace: (project: ProjectName) => Promise<boolean>;
  readonly producer: Producer;
  readonly reconciler: Reconciler;
  readonly logger: Logger;
  /** 0 = never. */
  readonly auditSeconds: number;
}

const sweepSeconds = 15;
/** How often documents are looked at although there are as many jobs: one without a job may be hidden by a job that nothing waits for. */
const lookSeconds = 60;
/** Documents whose jobs one sweep looks for, per project, where jobs are missing and where none seems to be; the next goes on from there. */
const documentsPerSweep = { lacking: 2_000, complete: 250 } as const;

/**
 * What keeps ledger, queue and store in step by itself: pending documents without a job get one, garbage is collected, and now and then every row is
 * compared with the ledger. Every worker asks, and a lease in Redis lets one of them do it, once per interval, by Redis' own clock.
 */
export class Sweep {
  readonly #deps: SweepDeps;
  readonly #stopped = new AbortController();
  readonly #cursors = new Map<ProjectName, RedriveCursor>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(deps: SweepDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running = this.#running.then(() => this.#sweep());
    }, sweepSeconds * 1_000);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopped.abort(new Error("the worker is stopping"));
    await this.#running;
  }

  async #sweep(): Promise<void> {
    const { ledger, inOurSpace, reconciler, auditSeconds, logger } = this.#deps;
    if (this.#stopped.signal.aborted) return;
    try {
      if (!(await this.#leased("sweep", sweepSeconds - 1))) return;
      const audit = auditSeconds > 0 && (await this.#leased("audit", auditSeconds));
      const seems = (await this.#lacksJobs()) ? "lacking" : "complete";
      const look = (await this.#leased("look", lookSeconds - 1)) || seems === "lacking";
      for (const project of await ledger.projects()) {
        if (look) await this.#redrive(project, documentsPerSweep[seems]);
        await this.#collect(project);
        if (audit && (await inOurSpace(project))) await this.#repair(project, (signal) => reconciler.audit(project, signal));
      }
      if (audit) {
        await this.#repair(undefined, () => reconciler.auditQueue());
        await this.#repair(undefined, () => reconciler.auditBlobs());
      }
    } catch (error) {
      if (!this.#stopped.signal.aborted) logger.warn({ reason: errorMessage(error) }, "sweep.failed");
    }
  }

  async #leased(task: string, seconds: number): Promise<boolean> {
    return (await this.#deps.redis.set(`millrace:lease:${task}`, String(process.pid), "EX", seconds, "NX")) === "OK";
  }

  /** Whether there are fewer jobs than pending documents. To look at each, and for its job, an ingest of thousands would have all of them read four times a minute. */
  async #lacksJobs(): Promise<boolean> {
    const { ledger, producer } = this.#deps;
    const { documents } = await ledger.load();
    const { waiting, active, delayed } = await producer.counts("documents");
    return waiting + active + delayed < documents;
  }

  async #redrive(project: ProjectName, max: number): Promise<void> {
    const { reconciler, logger } = this.#deps;
    const { redriven, next } = await reconciler.redrive(project, { max, from: this.#cursors.get(project) });
    if (next === undefined) this.#cursors.delete(project);
    else this.#cursors.set(project, next);
    if (redriven > 0) logger.warn({ project, redriven }, "sweep.redriven");
  }

  async #collect(project: ProjectName): Promise<void> {
    const { ledger, producer } = this.#deps;
    if ((await ledger.garbage(project, 1)).length > 0) await producer.addCollection(project);
  }

  /** @param project undefined for what belongs to none or to several */
  async #repair(project: ProjectName | undefined, audit: (signal: AbortSignal) => Promise<Finding[]>): Promise<void> {
    const { reconciler, logger } = this.#deps;
    const findings = await audit(this.#stopped.signal);
    if (findings.length === 0) return;
    const repaired = await reconciler.repair(findings, this.#stopped.signal);
    logger.warn(
      { project, findings: findings.map(({ kind, source, count }) => ({ kind, source, count })).slice(0, 100), repaired },
      "audit.repaired",
    );
  }
}
