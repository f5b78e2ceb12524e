import { createHash } from "node:crypto";
import { type ChunkRecord, chunkIdOf, chunkIdsOf, contentHashOf, type ProjectName, parseProjectName } from "@millrace/core";
import { newApiKeyText } from "@millrace/runtime";
import type { QueryServices } from "../query-services.ts";

/** One project, its keys, and a secret that stands in everything it has. */
export interface Tenant {
  readonly project: ProjectName;
  /** May do everything that a project's key may. */
  readonly key: string;
  readonly readKey: string;
  readonly ingestKey: string;
  readonly secret: string;
  /** Of the ingest that its documents came with. */
  readonly ingestId: string;
  /** A conversation of `key`. */
  readonly talk: string;
  /** Another, whose name others use too: to say it is not to say the secret. */
  readonly openTalk: string;
  readonly documentIds: readonly string[];
  /** Ids that only this project should ever be told: of documents, versions and chunks. */
  readonly ids: readonly string[];
}

/** Of documents, the same in every project; one more has the secret in its name. */
const sources = ["report.md", "notes/plan.md", "minutes.txt"];
export const questions = ["the yearly report of the house", "what does the house spend on its roof"];
const chunksPerDocument = 2;

/** Fifty houses with the same documents: same names, nearly the same words, one secret each. */
export async function settleTenants(services: QueryServices, count: number): Promise<Tenant[]> {
  const tenants: Tenant[] = [];
  for (let index = 0; index < count; index++) {
    const project = parseProjectName(`house-${index}`);
    const secret = `secret-${createHash("sha256").update(`the secret of ${index}`).digest("hex").slice(0, 16)}`;
    const newKey = async (...scopes: ("read" | "ingest")[]): Promise<string> => {
      const key = newApiKeyText();
      await services.keys.register(key, { project, scopes, label: secret });
      return key;
    };
    await services.spaces.claim(project, services.space);
    const documents = await Promise.all(
      [...sources, `private/${secret}.md`].map((source) => goLive(services, { project, secret, source, ingestId: `run-${index}` })),
    );
    tenants.push({
      project,
      secret,
      ingestId: `run-${index}`,
      talk: `talk-of-${secret}`,
      openTalk: `talk-${index}`,
      key: await newKey("read", "ingest"),
      readKey: await newKey("read"),
      ingestKey: await newKey("ingest"),
      documentIds: documents.map(({ documentId }) => documentId),
      ids: documents.flatMap(({ documentId, generation, chunkIds }) => [documentId, generation, ...chunkIds]),
    });
  }
  return tenants;
}

interface House {
  readonly project: ProjectName;
  readonly secret: string;
  readonly source: string;
  readonly ingestId: string;
}

/** A document as a worker would leave it. */
export async function goLive({ ledger, store, urls, adminKey }: QueryServices, { project, secret, source, ingestId }: House) {
  const texts = Array.from(
    { length: chunksPerDocument },
    (_, part) => `The yearly report of the house, part ${part}: the roof, the harvest, ${secret}.`,
  );
  const facts = { title: `Report ${secret}`, metadata: { owner: secret, year: 2026 } };
  const about = {
    contentHash: contentHashOf(Buffer.from(texts.join())),
    fingerprint: "isolation",
    mediaType: "text/markdown",
    bytes: 100,
    origin: `/home/${secret}`,
  } as const;
  const { documentId, generation } = await ledger.plan({ project, source, ingestId, ...about });
  const ref = { project, documentId, generation };
  await ledger.begin(ref, "run");
  await ledger.advance(ref, { chunks: texts.length, done: 0 });
  const vectors = await embed(urls[0] ?? "", adminKey, texts);
  const records = texts.map((text, ordinal): ChunkRecord => {
    const chunk = { ordinal, text, span: { start: 0, end: text.length }, headings: [secret], tokens: 20 };
    const chunkId = chunkIdOf(project, documentId, generation, ordinal);
    return {
      chunkId,
      ...ref,
      source,
      mediaType: "text/markdown",
      ingestedAt: 0,
      ...facts,
      chunk,
      vector: vectors[ordinal] ?? new Float32Array(),
    };
  });
  await store.upsert(records, new AbortController().signal);
  await ledger.switchLive(ref, { chunks: texts.length, tokens: 40, ...facts, timings: {} });
  return { documentId, generation, chunkIds: chunkIdsOf(project, documentId, generation, texts.length) };
}

async function embed(url: string, adminKey: string, input: readonly string[]): Promise<Float32Array[]> {
  const headers = { authorization: `Bearer ${adminKey}`, "content-type": "application/json" };
  const response = await fetch(`${url}/v1/embeddings`, { method: "POST", headers, body: JSON.stringify({ input }) });
  const { data } = (await response.json()) as { data: { embedding: number[] }[] };
  return data.map(({ embedding }) => Float32Array.from(embedding));
}
