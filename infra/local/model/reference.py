"""Reference vectors: made once with the numpy forward pass, committed, and compared with every model that is built."""

import base64
import json
from pathlib import Path

import numpy as np

from model.forward_pass import sentence_embedding
from model.weights import ModelError

REFERENCE_FILE = Path(__file__).with_name("reference.json")

TEXTS = [
    "The miller opens the sluice and the wheel begins to turn.",
    "How do I see which documents failed, and why?",
    "",
    "Grain",
    "Ein Mühlrad dreht sich, solange der Bach Wasser führt.",
    "水車は小川のそばにあります。",
    "retry_after_ms=1500; HTTP/1.1 503 -- see `docs/limits.md` §4.2 (v0.3.1) 🚰",
    "Each sack is weighed, numbered and written into the ledger before it is carried up to the stones, and nothing is ground "
    "twice: a sack whose number is already in the book goes back to the cart, and the carter is told so. In the evening the "
    "book and the store are compared, line by line, and what one has and the other lacks is put right before the gate is shut. "
    "If the race runs dry in the middle of a sack, the half that was ground is kept apart until the other half follows.",
]


def make_reference(weights: dict[str, np.ndarray], config: dict, weights_folder: Path) -> None:
    """Writes reference.json. Needs the `tokenizers` package, which building a model does not."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(weights_folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = []
    for text in TEXTS:
        token_ids = tokenizer.encode(text).ids
        vector = sentence_embedding(weights, config, token_ids).astype("<f4")
        rows.append({"text": text, "tokenIds": token_ids, "vector": base64.b64encode(vector.tobytes()).decode()})
    note = "vector: base64 of 384 little-endian float32, unit length. Made by: build_model.py --make-reference"
    REFERENCE_FILE.write_text(json.dumps({"note": note, "rows": rows}, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def smallest_cosine(model_file: Path) -> float:
    """The worst agreement of a built model with the reference over all texts: one by one, and in one padded batch where the graph takes such."""
    import onnxruntime

    try:
        rows = json.loads(REFERENCE_FILE.read_text(encoding="utf-8"))["rows"]
    except FileNotFoundError as error:
        raise ModelError(f"{REFERENCE_FILE} is missing. Check the project out again.") from error
    session = onnxruntime.InferenceSession(str(model_file), providers=["CPUExecutionProvider"])
    expected = np.stack([np.frombuffer(base64.b64decode(row["vector"]), "<f4") for row in rows])
    token_ids = [row["tokenIds"] for row in rows]
    smallest = (np.concatenate([_embed(session, [ids]) for ids in token_ids]) * expected).sum(axis=1).min()
    if _takes_padding(session):
        smallest = min(smallest, (_embed(session, token_ids) * expected).sum(axis=1).min())
    return float(smallest)


def _takes_padding(session) -> bool:
    return any(model_input.name == "attention_mask" for model_input in session.get_inputs())


def _embed(session, token_ids: list[list[int]]) -> np.ndarray:
    """`token_ids` of several lengths only where the graph takes padding."""
    if not _takes_padding(session):
        return session.run(["sentence_embedding"], {"input_ids": np.array(token_ids, np.int32)})[0]
    shape = (len(token_ids), max(len(ids) for ids in token_ids))
    input_ids = np.zeros(shape, np.int64)
    attention_mask = np.zeros(shape, np.int64)
    for row, ids in enumerate(token_ids):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    feeds = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": np.zeros(shape, np.int64)}
    return session.run(["sentence_embedding"], feeds)[0]
