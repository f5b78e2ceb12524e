"""
Builds the embedding model's ONNX files from its published weights, checks them against reference vectors, and only then puts them in place.

    python build_model.py --weights <folder with model.safetensors> --out <model folder>
    python build_model.py --weights <folder with model.safetensors> --make-reference

The output folder appears complete or not at all: everything is written beside it and renamed at the end.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from model.graph import build_graph
from model.reference import REFERENCE_FILE, make_reference, smallest_cosine
from model.weights import ModelError, read_weights

MODEL_ID = "all-MiniLM-L6-v2"
TOKENS_MAX = 256
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json", "special_tokens_map.json")
SMALLEST_COSINE = {"fp32": 0.9999, "int8": 0.975}
"""What the embedder runs. The weights lie in a file beside the graph: it is mapped into memory, and all processes share it."""
FILE_NAMES = {"fp32": "onnx/encoder.onnx", "int8": "onnx/encoder_int8.onnx"}
"""The same model with the inputs and outputs that other tools expect."""
EXCHANGE_FILE_NAMES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_int8.onnx"}


def main() -> None:
    arguments = parse_arguments()
    # A terminated build cleans up like a failed one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    weights_folder = Path(arguments.weights)
    try:
        step("reading the weights")
        weights = read_weights(weights_folder / "model.safetensors")
        config = read_config(weights_folder)
        if arguments.make_reference:
            make_reference(weights, config, weights_folder)
            step(f"reference vectors written to {REFERENCE_FILE}")
        else:
            build(weights, config, weights_folder, Path(arguments.out).resolve())
    except (ModelError, OSError) as error:
        sys.exit(f"The model could not be built: {error}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Builds the embedding model from its weights.")
    parser.add_argument("--weights", required=True, help="folder with model.safetensors, config.json and the tokenizer's files")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", help="model folder to make")
    target.add_argument("--make-reference", action="store_true", help="write the reference vectors instead (for developers)")
    return parser.parse_args()


def build(weights: dict, config: dict, weights_folder: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(out)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        (partial / "onnx").mkdir(parents=True)
        for names, padded in ((FILE_NAMES, False), (EXCHANGE_FILE_NAMES, True)):
            write_graphs(weights, config, {dtype: partial / name for dtype, name in names.items()}, padded)
        for name in TOKENIZER_FILES:
            shutil.copyfile(weights_folder / name, partial / name)
        write_manifest(weights_folder, config, partial)
        replace_folder(partial, out)
        step(f"ready in {out}")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_config(weights_folder: Path) -> dict:
    config = json.loads((weights_folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise ModelError(f"{weights_folder} holds a model of another kind; only BERT encoders with GELU can be built.")
    return config


def write_graphs(weights: dict, config: dict, paths: dict[str, Path], padded: bool) -> None:
    for dtype, path in paths.items():
        step(f"building the {'exchange' if padded else 'serving'} graph, {dtype}")
        save(build_graph(weights, config, padded=padded, int8=dtype == "int8"), path, apart=not padded)
        check(dtype, path)


def save(model, path: Path, apart: bool) -> None:
    """`apart`: the weights go into a file of their own."""
    import onnx

    onnx.checker.check_model(model)
    weights = weights_beside(path)
    # They would be added to a file that is there.
    weights.unlink(missing_ok=True)
    onnx.save(model, str(path), save_as_external_data=apart, location=weights.name)
    if apart:
        shutil.copymode(path, weights)


def weights_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.data")


def check(dtype: str, path: Path) -> None:
    cosine = smallest_cosine(path)
    step(f"checked {path.name}: smallest cosine with the reference {cosine:.6f}")
    # Written so that a NaN fails too.
    if not cosine >= SMALLEST_COSINE[dtype]:
        raise ModelError(f"{path.name} differs from the reference: cosine {cosine:.6f}, wanted {SMALLEST_COSINE[dtype]} or more.")


def write_manifest(weights_folder: Path, config: dict, folder: Path) -> None:
    manifest = {
        "modelId": MODEL_ID,
        "revision": sha256(weights_folder / "model.safetensors")[:16],
        "dimension": config["hidden_size"],
        "tokensMax": TOKENS_MAX,
        "pooling": "mean",
        "normalize": True,
        "files": {dtype: {"path": name, "sha256": sha256(folder / name, weights_beside(folder / name))} for dtype, name in FILE_NAMES.items()},
    }
    (folder / "model.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def sha256(*paths: Path) -> str:
    """Of one file after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def replace_folder(source: Path, target: Path) -> None:
    replaced = source.with_suffix(".replaced")
    if target.exists():
        target.rename(replaced)
    source.rename(target)
    shutil.rmtree(replaced, ignore_errors=True)


def remove_abandoned(out: Path) -> None:
    """Removes what builds left behind that were killed without a chance to clean up; a build that still runs keeps its folder."""
    for folder in out.parent.glob(f".{out.name}.*"):
        process_id = folder.name.split(".")[-2]
        if process_id.isdigit() and not is_running(int(process_id)):
            shutil.rmtree(folder, ignore_errors=True)


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def step(text: str) -> None:
    print(f"model: {text}", flush=True)


if __name__ == "__main__":
    main()
