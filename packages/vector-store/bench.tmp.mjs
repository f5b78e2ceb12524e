import { MilvusVectorStore } from "./dist/index.js";
import { chunkIdOf, parseProjectName } from "@millrace/core";
import { Redis } from "ioredis";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
const redis = new Redis("redis://127.0.0.1:26390");
const fp = "bench" + Date.now();
const store = new MilvusVectorStore({ address: "127.0.0.1:29530", redis, space: { modelId: "m", fingerprint: fp, dimension: 384, tokensMax: 256 } });
const signal = new AbortController().signal; const project = parseProjectName("p");
const words = Array.from({ length: 5000 }, (_, i) => "w" + i.toString(36)); const rnd = Math.random;
const rec = (i) => { const v = Float32Array.from({ length: 384 }, () => rnd() - 0.5); const n = Math.hypot(...v); return { chunkId: chunkIdOf(project, "d" + (i % 100), "g", i), project, documentId: "d" + (i % 100), generation: "g", source: `docs/f${i % 100}.md`, mediaType: "text/markdown", title: "T" + i, metadata: { author: "a" + (i % 10), year: 2000 + (i % 20) }, chunk: { ordinal: i, text: Array.from({ length: 180 }, () => words[(rnd() ** 2 * 5000) | 0]).join(" "), span: { start: 0, end: 100 }, page: 1 + (i % 7), tokens: 200, headings: ["A", "B"] }, vector: v.map((x) => x / n) }; };
const N = +process.argv[2]; const rows = Array.from({ length: N }, (_, i) => rec(i));
await store.start(signal);
const h = monitorEventLoopDelay({ resolution: 1 }); h.enable();
const per = []; const t0 = performance.now();
for (let i = 0; i < N; i += 1000) { const t = performance.now(); await store.upsert(rows.slice(i, i + 1000), signal); per.push(performance.now() - t); }
const dt = performance.now() - t0; h.disable();
console.log("upsert rows/s", (N / dt * 1000) | 0, "ms per 1000", per.map((x) => x | 0).join(" "), "loop p99", (h.percentile(99) / 1e6).toFixed(1), "max", (h.max / 1e6).toFixed(1));
const time = async (name, f, k = 20) => { const ts = []; for (let i = 0; i < k; i++) { const t = performance.now(); await f(i); ts.push(performance.now() - t); } ts.sort((a, b) => a - b); console.log(name, "p50", ts[k >> 1].toFixed(1), "max", ts[k - 1].toFixed(1)); };
const all = async () => {
  await time("search 10", (i) => store.search({ project, vector: rows[i].vector, limit: 10 }, signal));
  await time("search 200", (i) => store.search({ project, vector: rows[i].vector, limit: 200 }, signal));
  await time("search page filter", (i) => store.search({ project, vector: rows[i].vector, limit: 10, filter: { type: "gt", key: "page", value: 3 } }, signal));
  await time("search metadata filter", (i) => store.search({ project, vector: rows[i].vector, limit: 10, filter: { type: "eq", key: "metadata.author", value: "a3" } }, signal), 5);
  await time("existing 1000", () => store.existing(project, rows.slice(0, 1000).map((r) => r.chunkId), signal));
};
if (N > 0) { console.log("right after"); await time("search 10", (i) => store.search({ project, vector: rows[i].vector, limit: 10 }, signal), 5);
await new Promise((r) => setTimeout(r, 4000)); console.log("after the idle flush"); await all(); }
await time("delete 1000", async () => { await store.delete(project, rows.splice(0, 1000).map((r) => r.chunkId), signal); }, 1);
await store.close(); redis.disconnect();
