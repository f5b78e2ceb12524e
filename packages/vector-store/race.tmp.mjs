import { MilvusVectorStore } from "./dist/index.js";
import { chunkIdOf, parseProjectName } from "@millrace/core";
import { Redis } from "ioredis";
const redis = new Redis("redis://127.0.0.1:26390"); const fp = "race" + Date.now();
const mk = () => new MilvusVectorStore({ address: "127.0.0.1:29530", redis, space: { modelId: "m", fingerprint: fp, dimension: 384, tokensMax: 256 } });
const w = mk(), r = mk(); const signal = new AbortController().signal; const project = parseProjectName("p");
const rec = (i) => { const v = Float32Array.from({ length: 384 }, () => Math.random() - 0.5); const n = Math.hypot(...v); return { chunkId: chunkIdOf(project, "d", "g", i), project, documentId: "d", generation: "g", source: "s", mediaType: "text/markdown", title: "T", metadata: {}, chunk: { ordinal: i, text: "hello world " + i, span: { start: 0, end: 100 }, tokens: 200, headings: [] }, vector: v.map((x) => x / n) }; };
let searches = 0, misses = 0, i = 0, fresh, stop = false;
const loop = async () => { while (!stop) { const f = fresh; if (!f) { await new Promise((r) => setTimeout(r, 5)); continue; } const [hit] = await r.search({ project, vector: f.vector, limit: 1 }, signal); searches++; if (hit?.chunkId !== f.chunkId) misses++; } };
const loops = [loop(), loop(), loop()];
for (let k = 0; k < 40; k++) { const rows = Array.from({ length: 300 }, () => rec(i++)); await w.upsert(rows, signal); fresh = rows[0]; await w.close(); }
stop = true; await Promise.all(loops); console.log({ searches, misses });
await r.close(); await w.close(); redis.disconnect();
