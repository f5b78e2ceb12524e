"""
The BERT encoder as an ONNX graph, written directly with ONNX Runtime's fused operators.

An export from a training framework spells attention and layer normalisation out in dozens of small operators and relies on the runtime to
find and fuse them again. Written fused, the graph is small, the same on every machine, and quantises well. Mean pooling and
L2 normalisation are part of the graph: the caller gets finished vectors and never copies the token states out of the runtime.

Inputs  input_ids, attention_mask, token_type_ids: int64 [batch, sequence]
Outputs sentence_embedding: float32 [batch, hidden], unit length; last_hidden_state: float32 [batch, sequence, hidden]
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FUSED = "com.microsoft"
OPSET = 17
IR_VERSION = 8


def build_graph(weights: dict[str, np.ndarray], config: dict) -> onnx.ModelProto:
    hidden_size = config["hidden_size"]
    graph = _Graph(weights)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        graph.node("Cast", [name], f"{name}_i32", to=TensorProto.INT32)
    hidden = _embeddings(graph, config)
    for layer in range(config["num_hidden_layers"]):
        hidden = _layer(graph, layer, hidden, config)
    graph.node("Identity", [hidden], "last_hidden_state")
    _pooling(graph, "last_hidden_state")

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "sentence_encoder",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
                for name in ("input_ids", "attention_mask", "token_type_ids")
            ],
            [
                helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", hidden_size]),
                helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", hidden_size]),
            ],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)],
        producer_name="millrace",
    )
    model.ir_version = IR_VERSION
    return model


class _Graph:
    """Collects nodes and initializers; a weight is stored under its own name."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: list[str], *outputs: str, domain: str = "", **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, list(outputs), name=outputs[0], domain=domain, **attributes))
        return outputs[0]

    def constant(self, name: str, value: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name])

    def matrix(self, name: str) -> str:
        """A linear layer's weight, stored [out, in], as MatMul wants it: [in, out]."""
        return self.constant(f"{name}.transposed", self.weights[name].T)


def _embeddings(graph: _Graph, config: dict) -> str:
    return graph.node(
        "EmbedLayerNormalization",
        [
            "input_ids_i32",
            "token_type_ids_i32",
            graph.weight("embeddings.word_embeddings.weight"),
            graph.weight("embeddings.position_embeddings.weight"),
            graph.weight("embeddings.token_type_embeddings.weight"),
            graph.weight("embeddings.LayerNorm.weight"),
            graph.weight("embeddings.LayerNorm.bias"),
        ],
        "embeddings",
        "embeddings.mask_index",  # unused, but the operator insists on naming it
        domain=FUSED,
        epsilon=config["layer_norm_eps"],
    )


def _layer(graph: _Graph, layer: int, hidden: str, config: dict) -> str:
    prefix = f"encoder.layer.{layer}"
    qkv = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    attention = graph.node(
        "Attention",
        [
            hidden,
            graph.constant(f"{prefix}.attention.qkv.weight", np.concatenate([graph.weights[f"{part}.weight"].T for part in qkv], axis=1)),
            graph.constant(f"{prefix}.attention.qkv.bias", np.concatenate([graph.weights[f"{part}.bias"] for part in qkv])),
            "attention_mask_i32",
        ],
        f"{prefix}.attention",
        domain=FUSED,
        num_heads=config["num_attention_heads"],
    )
    attended = _add_and_normalise(graph, f"{prefix}.attention.output", attention, hidden, config)
    expanded = graph.node("MatMul", [attended, graph.matrix(f"{prefix}.intermediate.dense.weight")], f"{prefix}.intermediate")
    activated = graph.node("BiasGelu", [expanded, graph.weight(f"{prefix}.intermediate.dense.bias")], f"{prefix}.gelu", domain=FUSED)
    return _add_and_normalise(graph, f"{prefix}.output", activated, attended, config)


def _add_and_normalise(graph: _Graph, prefix: str, value: str, skip: str, config: dict) -> str:
    """Linear layer, residual connection and layer normalisation; the linear layer's bias is added by the fused operator."""
    projected = graph.node("MatMul", [value, graph.matrix(f"{prefix}.dense.weight")], f"{prefix}.dense")
    return graph.node(
        "SkipLayerNormalization",
        [
            projected,
            skip,
            graph.weight(f"{prefix}.LayerNorm.weight"),
            graph.weight(f"{prefix}.LayerNorm.bias"),
            graph.weight(f"{prefix}.dense.bias"),
        ],
        prefix,
        domain=FUSED,
        epsilon=config["layer_norm_eps"],
    )


def _pooling(graph: _Graph, hidden: str) -> None:
    """Mean over the tokens that are not padding, then unit length."""
    sequence_axis = graph.constant("sequence_axis", np.array([1], np.int64))
    last_axis = graph.constant("last_axis", np.array([2], np.int64))
    smallest = graph.constant("smallest_norm", np.array(1e-12, np.float32))
    graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    graph.node("Unsqueeze", ["mask", last_axis], "mask_3d")
    graph.node("Mul", [hidden, "mask_3d"], "masked")
    graph.node("ReduceSum", ["masked", sequence_axis], "summed", keepdims=0)
    # The division by the number of tokens is left out: it changes the length only, which the normalisation sets to 1.
    graph.node("ReduceL2", ["summed"], "norm", axes=[1], keepdims=1)
    graph.node("Max", ["norm", smallest], "norm_bounded")
    graph.node("Div", ["summed", "norm_bounded"], "sentence_embedding")
