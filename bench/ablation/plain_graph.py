"""
The encoder as training frameworks export it: elementary operators, pooling left to the caller. ONNX Runtime finds what it can fuse by itself.

    python plain_graph.py --weights <folder with model.safetensors> --out <file>

Inputs and output as of the exchange graph: input_ids, attention_mask, token_type_ids; last_hidden_state.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parents[2] / "infra" / "local"))
from model.weights import read_weights  # noqa: E402


class Graph:
    def __init__(self, weights: dict) -> None:
        self.weights, self.nodes, self.initializers = weights, [], {}

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: object) -> str:
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def number(self, value: float) -> str:
        return self.constant(f"number_{value}", np.array(value, np.float32))

    def linear(self, name: str, value: str) -> str:
        product = self.node("MatMul", value, self.constant(f"{name}.matrix", self.weights[f"{name}.weight"].T))
        return self.node("Add", self.constant(f"{name}.bias", self.weights[f"{name}.bias"]), product)

    def normalise(self, name: str, value: str, epsilon: float) -> str:
        centred = self.node("Sub", value, self.node("ReduceMean", value, axes=[-1]))
        variance = self.node("ReduceMean", self.node("Pow", centred, self.number(2)), axes=[-1])
        unit = self.node("Div", centred, self.node("Sqrt", self.node("Add", variance, self.number(epsilon))))
        scaled = self.node("Mul", unit, self.constant(f"{name}.weight", self.weights[f"{name}.LayerNorm.weight"]))
        return self.node("Add", scaled, self.constant(f"{name}.shift", self.weights[f"{name}.LayerNorm.bias"]))

    def gelu(self, value: str) -> str:
        erf = self.node("Erf", self.node("Div", value, self.number(2**0.5)))
        return self.node("Mul", self.node("Mul", value, self.node("Add", erf, self.number(1))), self.number(0.5))


def build(weights: dict, config: dict) -> onnx.ModelProto:
    graph = Graph(weights)
    heads, hidden_size, epsilon = config["num_attention_heads"], config["hidden_size"], config["layer_norm_eps"]
    table = lambda name: graph.constant(name, weights[f"embeddings.{name}_embeddings.weight"])  # noqa: E731
    words = graph.node("Gather", table("word"), "input_ids")
    types = graph.node("Gather", table("token_type"), "token_type_ids")
    length = graph.node("Shape", "input_ids", start=1, end=2)
    positions = graph.node("Slice", table("position"), graph.constant("first", np.array([0])), length)
    hidden = graph.normalise("embeddings", graph.node("Add", graph.node("Add", words, types), positions), epsilon)
    seen = graph.node("Cast", graph.node("Unsqueeze", "attention_mask", graph.constant("axes", np.array([1, 2]))), to=TensorProto.FLOAT)
    bias = graph.node("Mul", graph.node("Sub", graph.number(1), seen), graph.number(-1e4))
    split = graph.constant("split", np.array([0, 0, heads, hidden_size // heads]))
    joined = graph.constant("joined", np.array([0, 0, hidden_size]))

    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        part = lambda which, perm, name=name, hidden=hidden: graph.node(  # noqa: E731
            "Transpose", graph.node("Reshape", graph.linear(f"{name}.attention.self.{which}", hidden), split), perm=perm
        )
        query, key, value = part("query", [0, 2, 1, 3]), part("key", [0, 2, 3, 1]), part("value", [0, 2, 1, 3])
        scores = graph.node("Div", graph.node("MatMul", query, key), graph.number((hidden_size // heads) ** 0.5))
        context = graph.node("MatMul", graph.node("Softmax", graph.node("Add", scores, bias), axis=-1), value)
        context = graph.node("Reshape", graph.node("Transpose", context, perm=[0, 2, 1, 3]), joined)
        projected = graph.linear(f"{name}.attention.output.dense", context)
        attended = graph.normalise(f"{name}.attention.output", graph.node("Add", projected, hidden), epsilon)
        expanded = graph.gelu(graph.linear(f"{name}.intermediate.dense", attended))
        hidden = graph.normalise(f"{name}.output", graph.node("Add", graph.linear(f"{name}.output.dense", expanded), attended), epsilon)

    graph.nodes.append(helper.make_node("Identity", [hidden], ["last_hidden_state"]))
    inputs = [helper.make_tensor_value_info(each, TensorProto.INT64, ["batch", "sequence"]) for each in ("input_ids", "attention_mask", "token_type_ids")]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", hidden_size])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "plain", inputs, [output], list(graph.initializers.values())), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    config = json.loads((arguments.weights / "config.json").read_text(encoding="utf-8"))
    onnx.save(build(read_weights(arguments.weights / "model.safetensors"), config), str(arguments.out))
