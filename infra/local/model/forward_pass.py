"""
The same encoder once more, in plain numpy and double precision, without a line in common with the graph: what the graph is checked against.
Slow, and meant to be read beside the paper.
"""

import math

import numpy as np

_erf = np.vectorize(math.erf)


def sentence_embedding(weights: dict[str, np.ndarray], config: dict, token_ids: list[int]) -> np.ndarray:
    """Unit-length vector [hidden] of one text without padding."""

    def weight(name: str) -> np.ndarray:
        return weights[name].astype(np.float64)

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weight(f"{name}.weight").T + weight(f"{name}.bias")

    def normalise(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        return centred / np.sqrt(variance + config["layer_norm_eps"]) * weight(f"{name}.weight") + weight(f"{name}.bias")

    heads = config["num_attention_heads"]
    length = len(token_ids)
    x = (
        weight("embeddings.word_embeddings.weight")[token_ids]
        + weight("embeddings.position_embeddings.weight")[:length]
        + weight("embeddings.token_type_embeddings.weight")[0]
    )
    x = normalise(x, "embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}"
        query, key, value = (
            linear(x, f"{prefix}.attention.self.{part}").reshape(length, heads, -1).transpose(1, 0, 2) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        weights_of_tokens = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights_of_tokens /= weights_of_tokens.sum(axis=-1, keepdims=True)
        context = (weights_of_tokens @ value).transpose(1, 0, 2).reshape(length, -1)
        x = normalise(x + linear(context, f"{prefix}.attention.output.dense"), f"{prefix}.attention.output.LayerNorm")
        expanded = linear(x, f"{prefix}.intermediate.dense")
        activated = expanded * 0.5 * (1 + _erf(expanded / math.sqrt(2)))
        x = normalise(x + linear(activated, f"{prefix}.output.dense"), f"{prefix}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)
