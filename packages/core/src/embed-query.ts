import { isMillraceError } from "./errors.ts";
import type { Embedder } from "./ports.ts";

/**
 * The vector of a query. One that is longer than the model reads is embedded in halves, again and again, and stands where their mean does: a whole abstract can
 * be a query, and no word of it is cut off.
 */
export async function embedQuery(query: string, embedder: Embedder, signal: AbortSignal): Promise<Float32Array> {
  try {
    const [vector] = await embedder.embed([query], signal, "query");
    return vector ?? new Float32Array(embedder.space.dimension);
  } catch (error) {
    if (!isMillraceError(error) || error.code !== "embed.too_long" || query.length < 2) throw error;
    const vectors = await Promise.all(halves(query).map((half) => embedQuery(half, embedder, signal)));
    return unitMean(vectors, embedder.space.dimension);
  }
}

/** Cut at the blank next to the middle, or in the middle where a half would have no word. */
function halves(text: string): [string, string] {
  const middle = text.length >> 1;
  const blank = text.indexOf(" ", middle);
  const before = text.lastIndexOf(" ", middle);
  const nearest = blank === -1 || (before > 0 && middle - before < blank - middle) ? before : blank;
  const at = nearest > 0 && nearest < text.length - 1 ? nearest : middle;
  return [text.slice(0, at), text.slice(at)];
}

/** Of length 1, as all vectors are. */
function unitMean(vectors: readonly Float32Array[], dimension: number): Float32Array {
  const sum = new Float32Array(dimension);
  for (const vector of vectors) for (const [index, value] of vector.entries()) sum[index] = (sum[index] ?? 0) + value;
  const length = Math.hypot(...sum);
  return length === 0 ? (vectors[0] ?? sum) : sum.map((value) => value / length);
}
