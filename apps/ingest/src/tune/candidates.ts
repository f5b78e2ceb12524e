import { type IndexSettings, type SweepPoint, tunedLimit } from "@millrace/vector-store";

const graphs = [8, 16, 32];
/** Of the hits that a search asks for, so many times as many candidates. */
const efFactors = [1, 1.25, 1.5, 2, 3, 4, 8];
const probes = [1, 2, 4, 8, 16, 32, 64, 128];

/** What is worth trying over so many vectors: graphs of three densities, and clusters. */
export function candidatesFor(rows: number): IndexSettings[] {
  const graphsTried = graphs.flatMap((M) =>
    efFactors.map(
      (factor): IndexSettings => ({ type: "HNSW", build: { M, efConstruction: 200 }, search: { ef: Math.ceil(tunedLimit * factor) } }),
    ),
  );
  // Milvus recommends 4 times the root of the rows.
  const nlist = 2 ** Math.round(Math.log2(4 * Math.sqrt(rows)));
  const clustersTried = probes
    .filter((nprobe) => nprobe <= nlist)
    .map((nprobe): IndexSettings => ({ type: "IVF_FLAT", build: { nlist }, search: { nprobe } }));
  return [...graphsTried, ...clustersTried];
}

/** The fastest that reaches the recall@100, as a hybrid search fuses so many; undefined where none does. */
export function choose(points: readonly SweepPoint[], recallMin: number): SweepPoint | undefined {
  return points.filter(({ recallAt100 }) => recallAt100 >= recallMin).sort((a, b) => a.p50Ms - b.p50Ms)[0];
}

/** `HNSW M 16`: what an index is built with. */
export function buildText(settings: IndexSettings): string {
  return settings.type === "HNSW" ? `HNSW M ${settings.build.M}` : `IVF_FLAT nlist ${settings.build.nlist}`;
}

/** `ef 208`: what it is searched with. */
export function searchText(settings: IndexSettings): string {
  return settings.type === "HNSW" ? `ef ${settings.search.ef}` : `nprobe ${settings.search.nprobe}`;
}
