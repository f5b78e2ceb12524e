"""Reads a safetensors file: eight bytes of header length, a JSON header, then the raw tensors. No library is needed for that."""

import json
import struct
from pathlib import Path

import numpy as np

DTYPES = {"F32": np.float32, "I64": np.int64}


class ModelError(Exception):
    """The weights or the built model are not what they should be; the message is for the person who runs the set-up."""


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of the file by name, as read-only views of one buffer."""
    try:
        data = path.read_bytes()
        header_bytes = struct.unpack_from("<Q", data)[0]
        header = json.loads(data[8 : 8 + header_bytes])
        header.pop("__metadata__", None)
        body = memoryview(data)[8 + header_bytes :]
        return {name: _tensor(entry, body) for name, entry in header.items()}
    except FileNotFoundError as error:
        raise ModelError(f"No weights at {path}. Is the weights package installed?") from error
    except (struct.error, ValueError, KeyError) as error:
        raise ModelError(f"{path} is not a whole safetensors file ({error}). Install the weights package again.") from error


def _tensor(entry: dict, body: memoryview) -> np.ndarray:
    start, end = entry["data_offsets"]
    return np.frombuffer(body[start:end], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
