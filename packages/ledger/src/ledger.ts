import { createHash } from "node:crypto";
import {
  DependencyError,
  documentIdOf,
  errorMessage,
  limits,
  type MediaType,
  type Metadata,
  MillraceError,
  type ProjectName,
  parseProjectName,
} from "@millrace/core";
import type { Redis } from "ioredis";
import { type DocumentEntry, type DocumentFailure, type DocumentState, documentEntryFrom, documentStates } from "./document-entry.ts";
import { transitions } from "./transitions.ts";

/**
 * The truth about documents. BullMQ only moves work; whether a document is queued, live or gone, and which generation answers, is decided
 * here. Keys carry the project as hash tag, so that a project lies in one slot of a Redis Cluster and projects spread over slots.
 */
export interface PlanRequest {
  readonly project: ProjectName;
  readonly source: string;
  readonly contentHash: string;
  readonly fingerprint: string;
  readonly mediaType: MediaType;
  readonly bytes: number;
  readonly origin: string;
  readonly ingestId: string;
  /** What the user said about the document, beside what it says itself. */
  readonly metadata?: Metadata;
  /** Process again although nothing changed, or although the same bytes failed for good. */
  readonly force?: boolean;
}

export interface PlanResult {
  readonly documentId: string;
  /** `failed`: the same bytes failed for good before; the entry says why. */
  readonly outcome: "added" | "updated" | "unchanged" | "failed";
  /** To be enqueued when added or updated. */
  readonly generation: string;
}

export interface RejectRequest {
  readonly project: ProjectName;
  readonly source: string;
  readonly bytes: number;
  readonly origin: string;
  readonly ingestId: string;
  readonly failure: DocumentFailure;
}

/** A pending generation of a document: what a job is about. */
export interface GenerationRef {
  readonly project: ProjectName;
  readonly documentId: string;
  readonly generation: string;
}

export interface LiveVersion {
  readonly chunks: number;
  readonly tokens: number;
  readonly title: string;
  readonly metadata: Metadata;
  readonly timings: Readonly<Record<string, number>>;
}

/** Where a live document is found that was made of the same bytes in the same way. */
export interface LiveTwin {
  readonly documentId: string;
  readonly generation: string;
  readonly chunks: number;
}

/** Documents waiting or being processed, and their source bytes together. */
export interface Load {
  readonly documents: number;
  readonly bytes: number;
}

/** How a failure is taken. */
export interface FailOptions {
  /** Undefined: it is tried again, so many times. */
  readonly finalState?: "failed" | "quarantined";
  /** The process that worked on this document alone died of it: the second time at one point ends in quarantine. */
  readonly crashed?: boolean;
}

/** Rows in the vector store that nothing refers to any more. */
export interface GarbageEntry extends GenerationRef {
  readonly chunks: number;
}

export interface ListRequest {
  readonly project: ProjectName;
  readonly state?: DocumentState;
  /** Only sources that begin with this. */
  readonly sourcePrefix?: string;
  /** `next` of the page before. */
  readonly cursor?: string;
  readonly limit: number;
}

/**
 * How a run began. `superseded`: the work is no longer wanted; `quarantined`: it has taken too many workers with it; `suspected`: it has died with its worker
 * at one point `deaths` times, and is to begin again alone.
 */
export interface Begun {
  readonly outcome: "begun" | "superseded" | "quarantined" | "suspected";
  readonly deaths: number;
}

/** What happened to one document, as told to the ingest run that asked for it. */
export interface LedgerEvent {
  /** Stream id; pass the last one seen to go on from there. */
  readonly eventId: string;
  readonly documentId: string;
  readonly source: string;
  /** A DocumentState, `retrying`, or `superseded` (a later ingest or a delete took over). */
  readonly state: DocumentState | "retrying" | "superseded";
  readonly chunks: number;
  /** Chunks of it that are written so far. */
  readonly done: number;
  readonly tokens: number;
  readonly code: string;
  readonly message: string;
}

/** Deaths of a worker at one point of one document before that is put down to the document: others may have been in flight with it. */
const workerDeathsMax = 10;
/** From so many on no others are. */
const workerDeathsSuspect = 2;
/** The same of a process that had only this document. */
const crashesMax = 2;
/** Temporary failures of one generation before it is given up until somebody asks again: more than half an hour of outage. */
const failuresMax = 50;
const retryMsMin = 500;
const retryMsMax = 60_000;

const projectsKey = "millrace:projects";
const rateKey = "millrace:rate";

export class Ledger {
  readonly #redis: Redis;
  /** Reads of an epoch that are not on their way yet. */
  readonly #unsentEpochs = new Map<ProjectName, Promise<string>>();

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @throws DependencyError `ledger.unavailable`, as every method here */
  async plan(request: PlanRequest): Promise<PlanResult> {
    const [result] = await this.planAll(request.project, [request]);
    return result as PlanResult;
  }

  /** Documents of one project, in one round trip; each is planned or not by itself. */
  async planAll(project: ProjectName, requests: readonly Omit<PlanRequest, "project">[]): Promise<PlanResult[]> {
    if (requests.length === 0) return [];
    // In a slot of its own, hence not part of the script; written first, a crash between leaves an empty project.
    await this.#call((redis) => redis.sadd(projectsKey, project));
    const planned = requests.map((request) => {
      const documentId = documentIdOf(project, request.source);
      const { source, contentHash, fingerprint, mediaType, bytes, origin, ingestId, force = false, metadata = {} } = request;
      const given = [source, contentHash, fingerprint, mediaType, bytes, origin, ingestId, force ? 1 : 0, JSON.stringify(metadata)];
      return { documentId, args: scriptArguments(project, documentId, given) };
    });
    // The first brings the script for those that follow it.
    const replies = await this.#pipeline(
      planned.map(({ args }, index) => (index === 0 ? ["eval", transitions.plan, ...args] : ["evalsha", digests.plan, ...args])),
    );
    return planned.map(({ documentId }, index) => {
      const [outcome, generation] = replies[index] as [PlanResult["outcome"], string];
      return { documentId, outcome, generation };
    });
  }

  async reject(request: RejectRequest): Promise<string> {
    const { project, source, failure } = request;
    const documentId = documentIdOf(project, source);
    await this.#call((redis) => redis.sadd(projectsKey, project));
    await this.#run("reject", project, documentId, [
      source,
      request.bytes,
      request.origin,
      request.ingestId,
      failure.code,
      failure.message,
      failure.stage,
      failure.retryable ? 1 : 0,
    ]);
    return documentId;
  }

  /**
   * Begins a run of a job.
   * @param run names the run
   * @param options.alone nothing else is worked on by this worker until the run ends
   */
  async begin(ref: GenerationRef, run: string, { alone = false } = {}): Promise<Begun> {
    const given = [ref.generation, run, workerDeathsMax, workerDeathsSuspect, alone ? 1 : 0];
    const [code, deaths] = (await this.#run("begin", ref.project, ref.documentId, given)) as [0 | 1 | 2 | 3, number];
    return { outcome: (["superseded", "begun", "quarantined", "suspected"] as const)[code], deaths };
  }

  /** False when superseded: the caller stops, its work is no longer wanted. */
  async advance(ref: GenerationRef, progress: { readonly chunks: number; readonly done: number }): Promise<boolean> {
    const reply = await this.#run("advance", ref.project, ref.documentId, [ref.generation, progress.chunks, progress.done]);
    return reply === 1;
  }

  /** Ends a run without an outcome: its worker stops, and another takes the job. */
  async release(ref: GenerationRef): Promise<void> {
    await this.#run("release", ref.project, ref.documentId, [ref.generation]);
  }

  /** True when the generation is live now, by this call or an earlier one; false when superseded. */
  async switchLive(ref: GenerationRef, version: LiveVersion): Promise<boolean> {
    const { chunks, tokens, title, metadata, timings } = version;
    const reply = await this.#run("switchLive", ref.project, ref.documentId, [
      ref.generation,
      chunks,
      tokens,
      title,
      JSON.stringify(metadata),
      JSON.stringify(timings),
      limits.epochHoldMs,
    ]);
    return reply !== 0;
  }

  /**
   * Records a failure, and decides whether there will be another try and when: each pause is twice the one before, and a little at random, so that
   * those which failed together do not come back together.
   * @returns milliseconds until the next try; undefined when there is none, be it that the generation was superseded
   */
  async fail(ref: GenerationRef, failure: DocumentFailure, options: FailOptions = {}): Promise<{ failures: number; retryInMs?: number }> {
    const { code, message, stage, retryable } = failure;
    const reply = await this.#run("fail", ref.project, ref.documentId, [
      ref.generation,
      code,
      message,
      stage,
      retryable ? 1 : 0,
      options.finalState ?? "",
      options.crashed === true ? crashesMax : "",
      failuresMax,
      retryMsMin,
      retryMsMax,
      0.5 + Math.random() / 2,
    ]);
    const [failures, retryInMs] = reply as [number, number];
    return { failures, ...(retryInMs < 0 ? {} : { retryInMs }) };
  }

  /** True when there was such a document. When it resolves, no query returns the document any more. */
  async remove(project: ProjectName, documentId: string): Promise<boolean> {
    return (await this.#run("remove", project, documentId, [])) === 1;
  }

  async get(project: ProjectName, documentId: string): Promise<DocumentEntry | undefined> {
    return documentEntryFrom(documentId, await this.#call((redis) => redis.hgetall(documentKey(project, documentId))));
  }

  async getMany(project: ProjectName, documentIds: readonly string[]): Promise<(DocumentEntry | undefined)[]> {
    const replies = await this.#pipeline(documentIds.map((documentId) => ["hgetall", documentKey(project, documentId)]));
    return documentIds.map((documentId, index) => documentEntryFrom(documentId, replies[index] as Record<string, string>));
  }

  /** documentId -> the generation that answers. Documents without one are absent. One round trip. */
  async liveGenerations(project: ProjectName, documentIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (documentIds.length === 0) return new Map();
    const replies = await this.#pipeline(documentIds.map((documentId) => ["hget", documentKey(project, documentId), "liveGeneration"]));
    return new Map(documentIds.flatMap((documentId, index) => (replies[index] ? [[documentId, String(replies[index])] as const] : [])));
  }

  /**
   * Part of every cache key of the project. Changes before the reply to a delete or to the last switch of an ingest, and at most `epochHoldMs` after any other
   * switch; what was read once is never read again after it changed. Hence an answer that was computed after reading an epoch, and is found under the
   * same one, holds nothing deleted, and lacks no version that has been live for longer than the hold.
   *
   * Asked by every search. It is read anew for each, as only a read that begins after a delete was acknowledged is certain to see it (a message
   * over pub/sub may come later than the acknowledgement); those who ask in the same turn of the event loop share one.
   */
  epoch(project: ProjectName): Promise<string> {
    const unsent = this.#unsentEpochs.get(project);
    if (unsent !== undefined) return unsent;
    const read = new Promise<void>((resolve) => setImmediate(resolve)).then(async () => {
      this.#unsentEpochs.delete(project);
      const key = projectKey(project, "epoch");
      const [held, epoch] = await this.#call((redis) => redis.mget(`${key}:held`, key));
      return held ?? epoch ?? "0";
    });
    this.#unsentEpochs.set(project, read);
    return read;
  }

  /**
   * How many documents of the project were deleted; changes before the reply to a delete. An answer that was computed after reading it, and is found under the
   * same number, may lack what came since, but holds nothing deleted.
   */
  async deletions(project: ProjectName): Promise<string> {
    return (await this.#call((redis) => redis.get(`${projectKey(project, "epoch")}:deletions`))) ?? "0";
  }

  /** Ordered by source (by state, then source, when a state is given). */
  async list(request: ListRequest): Promise<{ entries: DocumentEntry[]; next: string | undefined }> {
    const { project, state, sourcePrefix = "", cursor, limit } = request;
    const key = projectKey(project, state === undefined ? "sources" : "states");
    const prefix = state === undefined ? sourcePrefix : `${state}\0${sourcePrefix}`;
    const from = cursor === undefined ? `[${prefix}` : `(${Buffer.from(cursor, "base64url").toString()}`;
    // 0xff never occurs in UTF-8, so it ends the range after everything with this prefix.
    const to = Buffer.concat([Buffer.from(`[${prefix}`), Buffer.from([0xff])]);
    const members = await this.#call((redis) => redis.zrangebylex(key, from, to, "LIMIT", 0, limit));
    const documentIds = members.map((member) => member.slice(member.lastIndexOf("\0") + 1));
    const entries = (await this.getMany(project, documentIds)).filter((entry) => entry !== undefined);
    const last = members.length === limit ? members.at(-1) : undefined;
    return { entries, next: last === undefined ? undefined : Buffer.from(last).toString("base64url") };
  }

  /** Up to `count` live documents, drawn by lot. Of a project with many that are not live, fewer. */
  async sampleLive(project: ProjectName, count: number): Promise<DocumentEntry[]> {
    const members = await this.#call((redis) => redis.zrandmember(projectKey(project, "states"), count));
    const live = [members].flat().filter((member) => member.startsWith("live\0"));
    const entries = await this.getMany(
      project,
      live.map((member) => member.slice(member.lastIndexOf("\0") + 1)),
    );
    return entries.filter((entry) => entry?.liveGeneration !== undefined) as DocumentEntry[];
  }

  async countByState(project: ProjectName): Promise<Readonly<Record<DocumentState, number>>> {
    const key = projectKey(project, "states");
    const replies = await this.#pipeline(documentStates.map((state) => ["zlexcount", key, `[${state}\0`, `(${state}\x01`]));
    return Object.fromEntries(documentStates.map((state, index) => [state, Number(replies[index])])) as Record<DocumentState, number>;
  }

  /** A live document with this content and fingerprint, if there is one. */
  async twin(project: ProjectName, contentHash: string, fingerprint: string): Promise<LiveTwin | undefined> {
    const documentId = await this.#call((redis) => redis.hget(projectKey(project, "contents"), `${contentHash}:${fingerprint}`));
    return documentId === null ? undefined : this.twinOf(project, documentId, contentHash);
  }

  /** What is live of a document that was found to be a twin, unless it has changed since. */
  async twinOf(project: ProjectName, twinId: string, contentHash: string): Promise<LiveTwin | undefined> {
    const entry = await this.get(project, twinId);
    if (entry?.liveGeneration === undefined || entry.liveContentHash !== contentHash) return undefined;
    return { documentId: entry.documentId, generation: entry.liveGeneration, chunks: entry.liveChunks };
  }

  /** What is pending in one project, or in all of them. */
  async load(project?: ProjectName): Promise<Load> {
    const projects = project === undefined ? await this.projects() : [project];
    const replies = await this.#pipeline(projects.map((each) => ["hmget", projectKey(each, "load"), "documents", "bytes"]));
    const sum = (index: number): number => replies.reduce<number>((total, reply) => total + Number((reply as string[])[index] ?? 0), 0);
    return { documents: sum(0), bytes: sum(1) };
  }

  /** Remembers how many chunks per second an ingest achieved, for estimates. */
  async recordRate(chunksPerSecond: number): Promise<void> {
    await this.#call((redis) => redis.set(rateKey, chunksPerSecond));
  }

  /** Chunks per second of the last ingest of some size. */
  async rate(): Promise<number | undefined> {
    const rate = Number(await this.#call((redis) => redis.get(rateKey)));
    return rate > 0 ? rate : undefined;
  }

  /** How many documents of an ingest are pending. */
  async openCount(project: ProjectName, ingestId: string): Promise<number> {
    return Number((await this.#call((redis) => redis.get(`${projectKey(project, "ingest")}:${ingestId}:open`))) ?? 0);
  }

  async projects(): Promise<ProjectName[]> {
    return (await this.#call((redis) => redis.smembers(projectsKey))).sort().map(parseProjectName);
  }

  async garbage(project: ProjectName, limit: number): Promise<GarbageEntry[]> {
    const [, fields] = await this.#call((redis) => redis.hscan(projectKey(project, "garbage"), 0, "COUNT", limit));
    const entries: GarbageEntry[] = [];
    for (let index = 0; index + 1 < fields.length; index += 2) {
      const [documentId = "", generation = ""] = (fields[index] ?? "").split(":");
      entries.push({ project, documentId, generation, chunks: Number(fields[index + 1]) });
    }
    return entries;
  }

  /** Whether the rows of a generation are already waiting to be collected. */
  async isGarbage({ project, documentId, generation }: GenerationRef): Promise<boolean> {
    return (await this.#call((redis) => redis.hexists(projectKey(project, "garbage"), `${documentId}:${generation}`))) === 1;
  }

  /** To be called when the rows of the entry are gone. */
  async dropGarbage(entry: GarbageEntry): Promise<void> {
    await this.#call((redis) => redis.hdel(projectKey(entry.project, "garbage"), `${entry.documentId}:${entry.generation}`));
  }

  /**
   * Events of an ingest run after `lastEventId` ("0" = from the start). With `blockMs` it waits so long for the first, and blocks the
   * connection meanwhile: give this ledger one of its own.
   */
  async readEvents(project: ProjectName, ingestId: string, lastEventId: string, blockMs?: number): Promise<LedgerEvent[]> {
    const stream = `${projectKey(project, "ingest")}:${ingestId}`;
    const reply = await this.#call((redis) =>
      blockMs === undefined
        ? redis.xread("COUNT", 1_000, "STREAMS", stream, lastEventId)
        : redis.xread("COUNT", 1_000, "BLOCK", blockMs, "STREAMS", stream, lastEventId),
    );
    return (reply?.[0]?.[1] ?? []).map(([eventId, [, told = ""]]) => {
      const [documentId = "", source = "", state = "", chunks, done, tokens, code = "", message = ""] = told.split("\0");
      return {
        ...{ eventId, documentId, source, state: state as LedgerEvent["state"] },
        ...{ chunks: Number(chunks), done: Number(done), tokens: Number(tokens), code, message },
      };
    });
  }

  #run(name: keyof typeof transitions, project: ProjectName, documentId: string, args: readonly (string | number)[]): Promise<unknown> {
    const given = scriptArguments(project, documentId, args);
    return this.#call(async (redis) => {
      try {
        return await redis.evalsha(digests[name], ...given);
      } catch (error) {
        // A Redis that was restarted, or took over from another, has not seen the script.
        if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
        return await redis.eval(transitions[name], ...given);
      }
    });
  }

  async #pipeline(commands: (string | number)[][]): Promise<unknown[]> {
    const replies = await this.#call((redis) => redis.pipeline(commands).exec());
    return (replies ?? []).map(([error, value]) => {
      if (error !== null) throw unavailable(error);
      return value;
    });
  }

  async #call<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await command(this.#redis);
    } catch (error) {
      throw unavailable(error);
    }
  }
}

/** By these Redis knows a script that it has run before, so that its five kilobytes need not be sent with each transition. */
const digests = Object.fromEntries(
  Object.entries(transitions).map(([name, script]) => [name, createHash("sha1").update(script).digest("hex")]),
) as Record<keyof typeof transitions, string>;

function scriptArguments(
  project: ProjectName,
  documentId: string,
  args: readonly (string | number)[],
): [keyCount: number, ...keysAndArguments: (string | number)[]] {
  const keys = [
    documentKey(project, documentId),
    ...["sources", "states", "epoch", "garbage", "sequence"].map((part) => projectKey(project, part)),
    `${projectKey(project, "ingest")}:`,
    ...["load", "contents"].map((part) => projectKey(project, part)),
  ];
  return [keys.length, ...keys, documentId, ...args];
}

function projectKey(project: ProjectName, part: string): string {
  return `millrace:{${project}}:${part}`;
}

function documentKey(project: ProjectName, documentId: string): string {
  return `${projectKey(project, "doc")}:${documentId}`;
}

/** Errors that Redis answers with and that pass; any other answer is a fault of ours, which no repetition mends. */
const passingReply = /LOADING|READONLY|OOM|MISCONF|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|UNBLOCKED|NOSCRIPT/;

function unavailable(error: unknown): MillraceError {
  if (error instanceof Error && error.name === "ReplyError" && !passingReply.test(error.message)) {
    return new MillraceError("ledger.failed", `The queue Redis refused a command: ${error.message}`, false, { cause: error });
  }
  return new DependencyError("ledger.unavailable", `The queue Redis failed: ${errorMessage(error)}`, {
    cause: error,
    hint: "Is it running? See `millrace status`.",
  });
}
