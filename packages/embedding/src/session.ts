import { DependencyError } from "@millrace/core";
import { InferenceSession, Tensor } from "onnxruntime-node";

/** One ONNX Runtime session; made once in the life of a process, since sessions made again and again leak. */
export interface EmbeddingSession {
  /**
   * @param batch token ids per text, special tokens included
   * @returns one vector of `dimension` floats per text, in order
   */
  run(batch: readonly (readonly number[])[]): Promise<Float32Array[]>;
}

/** Pooling and normalisation are part of the graph: only the finished vectors leave it. */
const outputName = "sentence_embedding";
/** Vectors come normalised; int8 arithmetic leaves rounding of this order. */
const normTolerance = 1e-3;

export async function openSession(onnxPath: string, dimension: number, threads: number): Promise<EmbeddingSession> {
  const session = await InferenceSession.create(onnxPath, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Patterns are kept per input shape; with ever new shapes they only grow.
    enableMemPattern: false,
  });
  return {
    async run(batch) {
      const length = Math.max(...batch.map((ids) => ids.length));
      const ids = new BigInt64Array(batch.length * length);
      const mask = new BigInt64Array(ids.length);
      for (const [row, tokens] of batch.entries()) {
        for (const [column, id] of tokens.entries()) ids[row * length + column] = BigInt(id);
        mask.fill(1n, row * length, row * length + tokens.length);
      }
      const shape = [batch.length, length];
      const feeds = {
        input_ids: new Tensor("int64", ids, shape),
        attention_mask: new Tensor("int64", mask, shape),
        token_type_ids: new Tensor("int64", new BigInt64Array(ids.length), shape),
      };
      const output = (await session.run(feeds, [outputName]))[outputName];
      const data = output?.data;
      if (!(data instanceof Float32Array) || data.length !== batch.length * dimension) {
        throw new DependencyError(
          "embed.bad_output",
          `The model gave ${output?.dims.join("×") ?? "nothing"} instead of ${batch.length}×${dimension}`,
        );
      }
      return batch.map((_, row) => checked(data.slice(row * dimension, (row + 1) * dimension)));
    },
  };
}

function checked(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  // Also false for NaN.
  if (!(Math.abs(norm - 1) < normTolerance))
    throw new DependencyError("embed.bad_vector", `The model gave a vector of length ${norm} instead of 1`);
  return vector;
}
