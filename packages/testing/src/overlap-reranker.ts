import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "@millrace/runtime";

/**
 * Makes the folder of a cross-encoder that needs no training: it counts which share of the query's tokens the text has, by an ONNX graph with the inputs and
 * outputs of a BERT classifier, and with the tokenizer of the built-in model.
 * @param tokensMax what it says that it reads
 */
export function makeOverlapReranker(folder: string, { outputs = 1, tokensMax = 128 }: { outputs?: number; tokensMax?: number } = {}): void {
  const { model, runtime } = loadConfig();
  mkdirSync(join(folder, "onnx"), { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
    copyFileSync(join(model.path, file), join(folder, file));
  writeFileSync(join(folder, "config.json"), JSON.stringify({ model_type: "bert", max_position_embeddings: tokensMax }));
  execFileSync(join(runtime, "python", "bin", "python"), ["-c", graph, join(folder, "onnx", "model.onnx"), String(outputs)]);
}

/** Ids below 1,000 are special tokens. Two outputs are "does not fit" and "fits". */
const graph = `
import sys
import onnx
from onnx import TensorProto, helper
nodes = []
def node(kind, *inputs, **attributes):
    name = f"{kind}_{len(nodes)}"
    nodes.append(helper.make_node(kind, inputs, [name], **attributes))
    return name
def constant(name, kind, values, shape):
    return helper.make_tensor(name, kind, shape, values)
constants = [
    constant("axis1", TensorProto.INT64, [1], [1]), constant("axis2", TensorProto.INT64, [2], [1]),
    constant("special", TensorProto.INT64, [999], []), constant("one", TensorProto.FLOAT, [1.0], []),
    constant("eight", TensorProto.FLOAT, [8.0], []), constant("four", TensorProto.FLOAT, [4.0], []), constant("zero", TensorProto.FLOAT, [0.0], []),
]
is_word = node("Cast", node("Greater", "input_ids", "special"), to=TensorProto.FLOAT)
of_text = node("Mul", is_word, node("Cast", "token_type_ids", to=TensorProto.FLOAT))
of_query = node("Sub", is_word, of_text)
same = node("Cast", node("Equal", node("Unsqueeze", "input_ids", "axis2"), node("Unsqueeze", "input_ids", "axis1")), to=TensorProto.FLOAT)
found = node("ReduceMax", node("Mul", same, node("Unsqueeze", of_text, "axis1")), axes=[2], keepdims=0)
total = node("ReduceSum", of_query, "axis1", keepdims=1)
share = node("Div", node("ReduceSum", node("Mul", found, of_query), "axis1", keepdims=1), node("Max", total, "one"))
fits = node("Sub", node("Mul", share, "eight"), "four")
masked = node("Mul", node("Cast", "attention_mask", to=TensorProto.FLOAT), "zero")
fits = node("Add", fits, node("ReduceSum", masked, "axis1", keepdims=1))
outputs = int(sys.argv[2])
logits = fits if outputs == 1 else node("Concat", *([node("Mul", fits, "zero")] * (outputs - 1)), fits, axis=1)
nodes.append(helper.make_node("Identity", [logits], ["logits"]))
ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in ("input_ids", "attention_mask", "token_type_ids")]
out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])
model = helper.make_model(helper.make_graph(nodes, "overlap", ids, [out], constants), opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, sys.argv[1])
`;
