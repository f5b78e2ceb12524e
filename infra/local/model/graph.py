"""
The BERT encoder as an ONNX graph, written directly with the operators that ONNX Runtime's CPU kernels are fastest at.

An export from a training framework spells attention and layer normalisation out in dozens of small operators and relies on the runtime to
find and fuse them again. Written so, the graph is small and the same on every machine. Mean pooling and
L2 normalisation are part of the graph: the caller gets finished vectors and never copies the token states out of the runtime.

What was measured, and chosen for it:
- Attention without a mask takes half the time of the one with a mask. Texts of equal length need none, and from some 64 tokens one text at a time is
  as fast per token as many, so the graph that serves has no mask.
- The standard's Attention is a tenth faster than the runtime's own MultiHeadAttention. Query, key and value are matrix products of their own: joined, they
  are no faster, and must be taken apart.
- GELU by its approximation with tanh takes less time than the exact one. Its error is at most 5e-4, far below that of 8-bit products, so the int8 graphs
  have it. The standard's Gelu is a hundredth faster, of the whole, than the runtime's own FastGelu.
- LayerNormalization is 2 % faster, of the whole, than MeanVarianceNormalization with weight and bias, but only alone: joined with the sum before it, as
  SkipLayerNormalization, it is 15 % slower. The runtime joins them where it knows all shapes. It knows none behind the products of an int8 graph as it is
  written here, and this is why the graph is not quantised by the runtime's tools: they write the shapes down.

Serving graph   input_ids: int32 [batch, sequence], texts of equal length
Exchange graph  input_ids, attention_mask, token_type_ids: int64 [batch, sequence], as other tools expect it
Both            sentence_embedding: float32 [batch, hidden], unit length; the exchange graph also last_hidden_state: float32 [batch, sequence, hidden]
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FUSED = "com.microsoft"
OPSET = 23
IR_VERSION = 11

LARGEST_BYTE = 127
"""x86 processors without VNNI add the products of two activations, up to 255, and two weights in 16 bits, which end at 32,767. With larger weights that overflows
now and then, and vectors depend on the processor."""
LARGEST_WEIGHT = 64


def build_graph(weights: dict[str, np.ndarray], config: dict, *, padded: bool, int8: bool = False) -> onnx.ModelProto:
    """
    `padded` makes the exchange graph. In an int8 graph the weights of every matrix product are signed bytes with a scale per output channel, activations are
    quantised while running, word embeddings are signed bytes with a scale per word, and GELU is approximated.
    """
    hidden_size = config["hidden_size"]
    graph = _Graph(weights, int8)
    mask = graph.node("Cast", ["attention_mask"], "attention_mask_i32", to=TensorProto.INT32) if padded else ""
    hidden = _embeddings(graph, "token_type_ids" if padded else None)
    for layer in range(config["num_hidden_layers"]):
        hidden = _layer(graph, layer, hidden, config, mask)
    outputs = [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", hidden_size])]
    if padded:
        hidden = graph.node("Identity", [hidden], "last_hidden_state")
        outputs.append(helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", hidden_size]))
    _pooling(graph, hidden, padded)

    input_names = ("input_ids", "attention_mask", "token_type_ids") if padded else ("input_ids",)
    input_type = TensorProto.INT64 if padded else TensorProto.INT32
    inputs = [helper.make_tensor_value_info(name, input_type, ["batch", "sequence"]) for name in input_names]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "sentence_encoder", inputs, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)],
        producer_name="millrace",
    )
    model.ir_version = IR_VERSION
    return model


class _Graph:
    """Collects nodes and initializers; a weight is stored under its own name."""

    def __init__(self, weights: dict[str, np.ndarray], int8: bool) -> None:
        self.weights = weights
        self.int8 = int8
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

    def signed_bytes(self, name: str, value: np.ndarray, axis: int, largest: int) -> tuple[str, str]:
        """`value` as whole numbers up to `largest`, and the scales that they are to be multiplied by: one for all numbers along `axis`."""
        scale = np.maximum(np.abs(value).max(axis=axis, keepdims=True), 1e-12) / largest
        numbers = self.constant(f"{name}.bytes", np.round(value / scale).astype(np.int8))
        return numbers, self.constant(f"{name}.scale", scale.astype(np.float32))


def _embeddings(graph: _Graph, token_types: str | None) -> str:
    words = _word_embeddings(graph)
    types = graph.weights["embeddings.token_type_embeddings.weight"]
    positions = graph.weights["embeddings.position_embeddings.weight"]
    if token_types is None:
        positions = positions + types[0]
    else:
        words = graph.node("Add", [words, graph.node("Gather", [graph.constant("token_types", types), token_types], "types")], "typed_words")
    length = graph.node("Shape", ["input_ids"], "length", start=1, end=2)
    start = graph.constant("first_position", np.array([0], np.int64))
    placed = graph.node("Slice", [graph.constant("positions", positions), start, length], "placed")
    return _normalise(graph, "embeddings", graph.node("Add", [words, placed], "embeddings.sum"))


def _word_embeddings(graph: _Graph) -> str:
    name = "embeddings.word_embeddings.weight"
    if not graph.int8:
        return graph.node("Gather", [graph.weight(name), "input_ids"], "words")
    table, scales = graph.signed_bytes(name, graph.weights[name], axis=1, largest=LARGEST_BYTE)
    row = graph.node("Cast", [graph.node("Gather", [table, "input_ids"], "word_bytes")], "word_numbers", to=TensorProto.FLOAT)
    return graph.node("Mul", [row, graph.node("Gather", [scales, "input_ids"], "word_scales")], "words")


def _layer(graph: _Graph, layer: int, hidden: str, config: dict, mask: str) -> str:
    prefix = f"encoder.layer.{layer}"
    parts = _linear(graph, hidden, *(f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")))
    context = _attention(graph, f"{prefix}.attention", parts, config["num_attention_heads"], mask)
    attended = _add_and_normalise(graph, f"{prefix}.attention.output", context, hidden)
    (expanded,) = _linear(graph, attended, f"{prefix}.intermediate.dense")
    approximation = "tanh" if graph.int8 else "none"
    activated = graph.node("Gelu", [expanded], f"{prefix}.gelu", approximate=approximation)
    return _add_and_normalise(graph, f"{prefix}.output", activated, attended)


def _attention(graph: _Graph, name: str, parts: list[str], heads: int, mask: str) -> str:
    if not mask:
        return graph.node("Attention", parts, name, q_num_heads=heads, kv_num_heads=heads)
    # Attention wants a row of the mask for each query, this one a row for each text.
    return graph.node("MultiHeadAttention", [*parts, "", mask], name, domain=FUSED, num_heads=heads)


def _add_and_normalise(graph: _Graph, prefix: str, value: str, skip: str) -> str:
    """Linear layer, residual connection and layer normalisation."""
    (projected,) = _linear(graph, value, f"{prefix}.dense")
    return _normalise(graph, prefix, graph.node("Add", [projected, skip], f"{prefix}.sum"))


def _linear(graph: _Graph, value: str, *prefixes: str) -> list[str]:
    """Linear layers that read the same value: it is quantised once for all of them. Their weights are stored [out, in]; a product wants [in, out]."""
    if not graph.int8:
        return [_exact_linear(graph, value, prefix) for prefix in prefixes]
    quantised = [f"{value}.{part}" for part in ("bytes", "scale", "zero_point")]
    graph.node("DynamicQuantizeLinear", [value], *quantised)
    return [_int8_linear(graph, quantised, prefix) for prefix in prefixes]


def _exact_linear(graph: _Graph, value: str, prefix: str) -> str:
    matrix = graph.constant(f"{prefix}.weight.transposed", graph.weights[f"{prefix}.weight"].T)
    product = graph.node("MatMul", [value, matrix], f"{prefix}.product")
    return graph.node("Add", [product, graph.weight(f"{prefix}.bias")], prefix)


def _int8_linear(graph: _Graph, quantised: list[str], prefix: str) -> str:
    value, scale, zero_point = quantised
    matrix, scales = graph.signed_bytes(f"{prefix}.weight.transposed", graph.weights[f"{prefix}.weight"].T, axis=0, largest=LARGEST_WEIGHT)
    inputs = [value, matrix, scale, scales, zero_point, "", graph.weight(f"{prefix}.bias")]
    return graph.node("MatMulIntegerToFloat", inputs, prefix, domain=FUSED)


def _normalise(graph: _Graph, prefix: str, value: str) -> str:
    parameters = [graph.weight(f"{prefix}.LayerNorm.{part}") for part in ("weight", "bias")]
    return graph.node("LayerNormalization", [value, *parameters], prefix, epsilon=1e-12)


def _pooling(graph: _Graph, hidden: str, padded: bool) -> None:
    """Mean over the tokens that are not padding, then unit length."""
    sequence_axis = graph.constant("sequence_axis", np.array([1], np.int64))
    smallest = graph.constant("smallest_norm", np.array(1e-12, np.float32))
    if padded:
        graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
        graph.node("Unsqueeze", ["mask", graph.constant("last_axis", np.array([2], np.int64))], "mask_3d")
        hidden = graph.node("Mul", [hidden, "mask_3d"], "masked")
    graph.node("ReduceSum", [hidden, sequence_axis], "summed", keepdims=0)
    # The division by the number of tokens is left out: it changes the length only, which the normalisation sets to 1.
    graph.node("ReduceL2", ["summed", sequence_axis], "norm", keepdims=1)
    graph.node("Max", ["norm", smallest], "norm_bounded")
    graph.node("Div", ["summed", "norm_bounded"], "sentence_embedding")
