import { documentIdOf } from "@millrace/core";
import { newApiKeyText } from "@millrace/runtime";
import { seeded } from "@millrace/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { QueryServices } from "../query-services.ts";
import { type Attack, attacks, type Probe, uploaded } from "./attacks.ts";
import { startEchoModel } from "./echo-model.ts";
import { questions, settleTenants, type Tenant } from "./tenants.ts";

/**
 * Fifty projects hold documents of the same names and nearly the same words, and a secret each. Every key tries every route of two processes, with the
 * ids, names, filters, cursors and questions of the others, while the caches hold the others' answers: no reply may hold a byte of what is foreign, none
 * may be a 5xx, and nothing foreign may have changed. `MILLRACE_ISOLATION_PROBES=100000` is the long form.
 */
const probeCount = Number(process.env["MILLRACE_ISOLATION_PROBES"] ?? 2_500);
const seed = Number(process.env["MILLRACE_ISOLATION_SEED"] ?? 63);
const tenantCount = 50;
const inFlight = 8;
/** All that looks like a secret, an id, or the name of a project. */
const marks = /secret-[0-9a-f]{16}|[0-9a-f]{24,64}|house-\d+/g;

let services: QueryServices;
let model: Awaited<ReturnType<typeof startEchoModel>>;
let tenants: Tenant[];
/** Secret, id or name -> whose. */
const owners = new Map<string, Tenant>();

beforeAll(async () => {
  model = await startEchoModel();
  const noQuotas = Object.fromEntries(
    ["KEY", "PROJECT"].flatMap((of) => ["REQUESTS", "TOKENS", "STREAMS", "SEARCHES"].map((what) => [`MILLRACE_QUOTA_${of}_${what}`, "0"])),
  );
  services = await QueryServices.start(2, { ...noQuotas, LLM_BASE_URL: model.url, LLM_MODEL: "echo" });
  tenants = await settleTenants(services, tenantCount);
  for (const tenant of tenants) {
    const { project, secret, ids } = tenant;
    for (const mark of [project, secret, documentIdOf(project, uploaded.source), ...ids]) owners.set(mark, tenant);
  }
}, 120_000);
afterAll(async () => {
  await services?.close();
  await model?.close();
});

interface Reply {
  readonly status: number;
  /** Headers and body. */
  readonly text: string;
}

async function send(
  url: string,
  method: string,
  { path, body, headers }: Omit<Probe, "statuses">,
  key?: string,
  onlyBegin = false,
): Promise<Reply> {
  const response = await fetch(url + path, {
    method,
    headers: { "content-type": "application/json", ...(key === undefined ? {} : { authorization: `Bearer ${key}` }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const head = JSON.stringify([...response.headers]);
  return { status: response.status, text: head + (onlyBegin && response.ok ? await beginning(response) : await response.text()) };
}

async function beginning(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const first = await reader?.read();
  await reader?.cancel();
  return Buffer.from(first?.value ?? []).toString();
}

const methodOf = (route: string): string => route.slice(0, route.indexOf(" "));

test("every route that the service has is attacked", async () => {
  const response = await fetch(`${services.urls[0]}/openapi.json`);
  const { paths } = (await response.json()) as { paths: Record<string, Record<string, unknown>> };
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(Object.keys(attacks).sort()).toEqual(routes.sort());
});

/** How a request departs from the attacker's own key, and what it must come to then. */
interface Disguise {
  readonly key: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status?: number;
}

function disguise({ needs }: Attack, attacker: Tenant, victim: Tenant, random: () => number): Disguise {
  const lot = random();
  const guarded = needs === "read" || needs === "ingest";
  const inProject = guarded || needs === "any key";
  if (lot < 0.04) return { key: attacker.key, headers: { "x-millrace-project": victim.project }, ...(inProject ? { status: 404 } : {}) };
  if (lot < 0.07) return { key: victim.key.slice(0, 20) + attacker.key.slice(20), ...(needs === "nothing" ? {} : { status: 401 }) };
  if (lot < 0.1) return { key: needs === "ingest" ? attacker.readKey : attacker.ingestKey, ...(guarded ? { status: 403 } : {}) };
  return { key: attacker.key };
}

/** Everything that a project has, as its own key sees it. */
async function belongings(tenant: Tenant): Promise<unknown> {
  const [url = ""] = services.urls;
  const read = async (path: string): Promise<unknown> =>
    JSON.parse(await (await fetch(url + path, { headers: { authorization: `Bearer ${tenant.key}` } })).text());
  const { data } = (await read("/v1/documents?limit=1000")) as { data: { document_id: string; source: string }[] };
  const documents = data.filter(({ source }) => source !== uploaded.source);
  expect(documents.map((each) => each.document_id).sort(), `documents that ${tenant.project} is told of`).toEqual(
    [...tenant.documentIds].sort(),
  );
  const chunks = await Promise.all(tenant.documentIds.map((id) => read(`/v1/documents/${id}/chunks`)));
  const rows: string[] = [];
  for await (const page of services.store.scan(tenant.project, new AbortController().signal))
    rows.push(...page.map(({ chunkId }) => chunkId));
  const talks = await Promise.all([tenant.talk, tenant.openTalk].map((id) => read(`/v1/sessions/${id}`)));
  return { talks, documents, chunks, rows: rows.sort() };
}

/** Every project's own answers, in the caches of every process; all projects ask at once, so that what they share on the way is shared. */
async function warmCaches(): Promise<void> {
  for (const url of services.urls) {
    for (const query of questions) {
      const replies = await Promise.all(
        tenants.map(({ key }) => send(url, "POST", { path: "/v1/search", body: { query, mode: "hybrid", top_k: 200 } }, key)),
      );
      for (const [index, { status, text }] of replies.entries()) {
        const found = new Set((text.match(marks) ?? []).map((mark) => owners.get(mark)?.project).filter((owner) => owner !== undefined));
        // What is own is found, so that finding nothing foreign means something.
        expect({ status, found: [...found] }, text.slice(0, 600)).toEqual({ status: 200, found: [tenants[index]?.project] });
      }
    }
  }
}

/** Each project asks something in conversations of its own, of the same model; and its answer is kept. */
async function converse(): Promise<void> {
  await Promise.all(
    tenants.map(async ({ key, talk, openTalk, secret }) => {
      for (const session_id of [talk, openTalk]) {
        const body = { question: questions[0], session_id };
        const reply = await send(services.urls[0] ?? "", "POST", { path: "/v1/ask", body }, key);
        expect(reply.text).toContain(secret);
      }
    }),
  );
}

test("no key gets a byte of another project, or changes one, by whatever route", { timeout: 3_600_000 }, async () => {
  await warmCaches();
  await converse();
  const before = await Promise.all(tenants.map(belongings));
  const random = seeded(seed);
  const pick = <T>(options: readonly T[]): T => options[Math.floor(random() * options.length)] as T;
  const counts = new Map<string, number>();
  const routes = Object.keys(attacks);
  const drawn = (): string => {
    const route = pick(routes);
    return random() < 1 / (attacks[route]?.oneIn ?? 1) ? route : drawn();
  };

  const probeOnce = async (): Promise<void> => {
    const [route, attacker, url] = [drawn(), pick(tenants), pick(services.urls)];
    const victim = pick(tenants.filter((tenant) => tenant !== attacker));
    const attack = attacks[route] as Attack;
    const { statuses, ...request } = attack.probe(attacker, victim, pick);
    const { key, headers, status } = disguise(attack, attacker, victim, random);
    const probe = { ...request, headers: { ...request.headers, ...headers } };
    const reply = await send(url, methodOf(route), probe, key, attack.streams);
    const about = `${route} by ${attacker.project} against ${victim.project}, ${JSON.stringify(probe)}: ${reply.status} ${reply.text.slice(0, 600)}`;
    const said = JSON.stringify(probe);
    const foreign = (reply.text.match(marks) ?? []).filter((mark) => (owners.get(mark) ?? attacker) !== attacker && !said.includes(mark));
    expect(foreign, about).toEqual([]);
    expect(status === undefined ? statuses : [status], about).toContain(reply.status);
    counts.set(`${route} ${reply.status}`, (counts.get(`${route} ${reply.status}`) ?? 0) + 1);
  };
  let sent = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (sent++ < probeCount) await probeOnce();
    }),
  );

  console.log(`${probeCount} probes (seed ${seed}) of ${tenantCount} projects: ${JSON.stringify(Object.fromEntries([...counts].sort()))}`);
  for (const route of routes)
    expect(
      [...counts.keys()].filter((each) => each.startsWith(`${route} `)),
      route,
    ).not.toEqual([]);
  expect(await Promise.all(tenants.map(belongings))).toEqual(before);
});

describe("keys", () => {
  const url = (): string => services.urls[0] ?? "";
  const guarded = Object.entries(attacks).filter(([, { needs }]) => needs !== "nothing");
  /** A request that the route understands. */
  const plain = (attack: Attack): Probe => attack.probe(tenants[0] as Tenant, tenants[1] as Tenant, ([first]) => first as never);

  test.each(guarded)("%s wants one, and one that may", async (route, attack) => {
    const [tenant] = tenants as [Tenant];
    const status = async (key?: string): Promise<number> => (await send(url(), methodOf(route), plain(attack), key, attack.streams)).status;
    expect(await status()).toBe(401);
    expect(await status("mr_0123456789abcdef_wrong")).toBe(401);
    expect(await status(newApiKeyText())).toBe(401);
    if (attack.needs === "read") expect(await status(tenant.ingestKey)).toBe(403);
    if (attack.needs === "ingest") expect(await status(tenant.readKey)).toBe(403);
    if (attack.needs === "admin") expect(await status(tenant.key)).toBe(403);
    else expect([401, 403]).not.toContain(await status(attack.needs === "ingest" ? tenant.ingestKey : tenant.readKey));
  });

  test("a revoked one is worthless in every process within a second, and stays so", async () => {
    const { project } = tenants[0] as Tenant;
    const key = newApiKeyText();
    const keyId = await services.keys.register(key, { project, scopes: ["read", "ingest"], label: "" });
    const statuses = (): Promise<number[]> =>
      Promise.all(
        services.urls.flatMap((each) =>
          ["/v1/documents", "/v1/documents/none"].map(async (path) => (await send(each, "GET", { path }, key)).status),
        ),
      );
    expect(await statuses()).toEqual([200, 404, 200, 404]);
    await services.keys.revoke(keyId);
    const revokedAt = performance.now();
    let seen = await statuses();
    while (!seen.every((each) => each === 401)) {
      // A request that was let in before may still be answered; a machine at work is given half a second for that.
      expect(performance.now() - revokedAt).toBeLessThan(1_500);
      seen = await statuses();
    }
    for (let index = 0; index < 20; index++) expect(new Set(await statuses())).toEqual(new Set([401]));
  });
});
