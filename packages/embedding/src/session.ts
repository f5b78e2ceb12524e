import { DependencyError } from "@millrace/core";
import { InferenceSession, Tensor } from "onnxruntime-node";

/** One ONNX Runtime session; made once in the life of a process, since sessions made again and again leak. */
export interface EmbeddingSession {
  /**
   * @param ids token ids of one text, special tokens included
   * @returns its vector of `dimension` floats
   */
  run(ids: Int32Array): Promise<Float32Array>;
}

/** Pooling and normalisation are part of the graph: only the finished vector leaves it. */
const outputName = "sentence_embedding";
/** Vectors come normalised; int8 arithmetic leaves rounding of this order. */
const normTolerance = 1e-3;

/**
 * One text at a time on one thread. From some 64 tokens texts together are no faster per token, and what texts of different lengths would be padded with is
 * computed for nothing; shorter ones would be, but int8 gives a batch one scale. So a vector does not depend on its company, nor on how many cores there are: more cores are used by
 * more processes, which need not wait for each other.
 */
export async function openSession(onnxPath: string, dimension: number): Promise<EmbeddingSession> {
  const session = await InferenceSession.create(onnxPath, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    // Patterns are kept per input shape; with ever new shapes they only grow.
    enableMemPattern: false,
  });
  const feedsOf = session.inputNames.includes("attention_mask") ? exchangeFeeds : servingFeeds;
  return {
    async run(ids) {
      const output = (await session.run(feedsOf(ids), [outputName]))[outputName];
      const data = output?.data;
      if (!(data instanceof Float32Array) || data.length !== dimension) {
        throw new DependencyError("embed.bad_output", `The model gave ${output?.dims.join("×") ?? "nothing"} instead of 1×${dimension}`);
      }
      return checked(data);
    },
  };
}

function servingFeeds(ids: Int32Array): Record<string, Tensor> {
  return { input_ids: new Tensor("int32", ids, [1, ids.length]) };
}

/** What graphs made for other tools take. */
function exchangeFeeds(ids: Int32Array): Record<string, Tensor> {
  const tensor = (data: BigInt64Array): Tensor => new Tensor("int64", data, [1, ids.length]);
  return {
    input_ids: tensor(BigInt64Array.from(ids, BigInt)),
    attention_mask: tensor(new BigInt64Array(ids.length).fill(1n)),
    token_type_ids: tensor(new BigInt64Array(ids.length)),
  };
}

function checked(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  // Also false for NaN.
  if (!(Math.abs(norm - 1) < normTolerance))
    throw new DependencyError("embed.bad_vector", `The model gave a vector of length ${norm} instead of 1`);
  return vector;
}
