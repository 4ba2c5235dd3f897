"""What a model file says of itself: its shape, what it is made for, and how many bytes each of its layers has.

Nothing of its weights is loaded, so a model of any size is judged in a fraction of a second, with or without a GPU.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.local.reading.gguf_reading import BrokenGguf, Counted, Gguf, read_gguf
from policies.engine_memory import ModelShape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POOLINGS: Final = ("none", "mean", "cls", "last", "rank")
FILE_TYPES: Final = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
    41: "Q2_0",
}  # fmt: skip
ENCODERS: Final = re.compile(r".*bert.*|t5encoder|gemma-embedding")
"""Architectures that only read; they make vectors, whatever else the file says."""

SPLITS_MAX: Final = 512
LAYERS_MAX: Final = 4096
NUMBER_MAX: Final = 1 << 31
_SPLIT_NAME: Final = re.compile(r"(.*)-([0-9]{5})-of-([0-9]{5})\.gguf")
_BLOCK: Final = re.compile(r"blk\.([0-9]{1,4})\.")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model. Numbers are 0 and texts empty where the file does not say.

    `kv_heads` has one number per layer; 0 for a layer that keeps no cells. `window_tokens` other than 0: some layers
    look back no further than that. `is_recurrent`: some layers keep a state of fixed size instead of cells.
    `layer_bytes` are the weights of each layer, `other_bytes` what belongs to none, the vocabulary above all.
    """

    files: tuple[Path, ...]
    architecture: str
    name: str
    file_type: str
    layers: int
    heads: int
    kv_heads: tuple[int, ...]
    key_length: int
    value_length: int
    embedding_size: int
    feed_forward_size: int
    context_tokens: int
    vocabulary_size: int
    pooling: str
    window_tokens: int
    is_recurrent: bool
    is_latent: bool
    tensor_count: int
    layer_bytes: tuple[int, ...]
    other_bytes: int
    chat_template: str

    @property
    def tensor_bytes(self) -> int:
        return sum(self.layer_bytes) + self.other_bytes

    @property
    def task(self) -> str:
        """What the model is made for: text, embed or rerank."""
        if self.pooling == "rank":
            return "rerank"
        makes_vectors = self.pooling not in ("", "none") or ENCODERS.fullmatch(self.architecture)
        return "embed" if makes_vectors else "text"


def read_model(path: Path) -> ModelFile:
    """The model at `path`, the first of its files where it has several. Raises `BrokenGguf`, and `OSError`."""
    first = read_gguf(path)
    facts = _Facts(first)
    if facts.text("general.type") in ("adapter", "mmproj", "imatrix"):
        raise BrokenGguf(f"holds no model but an {facts.text('general.type')}")
    if not (architecture := facts.text("general.architecture")):
        raise BrokenGguf("does not say its architecture")
    others = tuple(_others(path, facts))
    tensors = [tensor for file in (first, *(read_gguf(other) for other in others)) for tensor in file.tensors]
    if not tensors:
        raise BrokenGguf("holds no weights: it is a vocabulary, or the first part of nothing")
    layers = facts.number(f"{architecture}.block_count", LAYERS_MAX)
    layer_bytes, other_bytes = [0] * layers, 0
    for tensor in tensors:
        found = _BLOCK.match(tensor.name)
        if found and int(found[1]) < layers:
            layer_bytes[int(found[1])] += tensor.size_bytes
        else:
            other_bytes += tensor.size_bytes
    return _model(_Shape(facts, architecture, layers), (path, *others), len(tensors), (tuple(layer_bytes), other_bytes))


def shape_of(model: ModelFile) -> ModelShape:
    """What memory goes by. Encoders keep no cells."""
    heads = (0,) * model.layers if ENCODERS.fullmatch(model.architecture) else model.kv_heads
    return ModelShape(
        layer_bytes=model.layer_bytes,
        other_bytes=model.other_bytes,
        key_numbers=tuple(count * model.key_length for count in heads),
        value_numbers=tuple(count * model.value_length for count in heads),
        heads=model.heads,
        embedding_size=model.embedding_size,
        feed_forward_size=model.feed_forward_size,
        vocabulary_size=model.vocabulary_size,
        trained_context_tokens=model.context_tokens,
        is_bounded=bool(model.window_tokens or model.is_recurrent or model.is_latent),
    )


class _Facts:
    """The values of a file, as what they are meant to be. Raises `BrokenGguf` for what is none."""

    def __init__(self, gguf: Gguf) -> None:
        self._values = gguf.values

    def has(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str) -> str:
        value = self._values.get(key, "")
        if not isinstance(value, str):
            raise BrokenGguf(f"says something at {key!r} that is no text")
        return value

    def number(self, key: str, most: int = NUMBER_MAX, default: int = 0) -> int:
        """One number; the largest where there is one for each layer."""
        return max(self.numbers(key, most), default=default)

    def numbers(self, key: str, most: int = NUMBER_MAX) -> tuple[int, ...]:
        value = self._values.get(key, ())
        values = value if isinstance(value, tuple) and not isinstance(value, Counted) else (value,)
        found = []
        for one in values:
            if isinstance(one, bool | str | float) or not isinstance(one, int) or not 0 <= one <= most:
                raise BrokenGguf(f"says something at {key!r} that cannot be")
            found.append(one)
        return tuple(found)

    def items(self, key: str) -> int:
        value = self._values.get(key)
        return value.items if isinstance(value, Counted) else len(value) if isinstance(value, tuple) else 0


@dataclass(frozen=True, slots=True)
class _Shape:
    facts: _Facts
    architecture: str
    layers: int

    def number(self, key: str, default: int = 0) -> int:
        return self.facts.number(f"{self.architecture}.{key}", default=default)

    def has(self, key: str) -> bool:
        return self.facts.has(f"{self.architecture}.{key}")

    def kv_heads(self, heads: int) -> tuple[int, ...]:
        stated = self.facts.numbers(f"{self.architecture}.attention.head_count_kv")
        if len(stated) > 1 and len(stated) != self.layers:
            raise BrokenGguf(f"has {len(stated)} numbers of heads for {self.layers} layers")
        return stated if len(stated) > 1 else (stated or (heads,)) * self.layers


def _model(shape: _Shape, files: tuple[Path, ...], tensors: int, weights: tuple[tuple[int, ...], int]) -> ModelFile:
    facts = shape.facts
    heads, embedding_size = shape.number("attention.head_count"), shape.number("embedding_length")
    usual = embedding_size // heads if heads else 0
    pooling = shape.number("pooling_type") if shape.has("pooling_type") else None
    if pooling is not None and pooling >= len(POOLINGS):
        raise BrokenGguf(f"has an unknown kind of pooling, {pooling}")
    file_type = facts.number("general.file_type") if facts.has("general.file_type") else None
    return ModelFile(
        files=files,
        architecture=shape.architecture,
        name=facts.text("general.name"),
        file_type="" if file_type is None else FILE_TYPES.get(file_type, str(file_type)),
        layers=shape.layers,
        heads=heads,
        kv_heads=shape.kv_heads(heads),
        key_length=shape.number("attention.key_length", usual),
        value_length=shape.number("attention.value_length", usual),
        embedding_size=embedding_size,
        feed_forward_size=shape.number("feed_forward_length"),
        context_tokens=shape.number("context_length"),
        vocabulary_size=facts.items("tokenizer.ggml.tokens") or shape.number("vocab_size"),
        pooling="" if pooling is None else POOLINGS[pooling],
        window_tokens=shape.number("attention.sliding_window"),
        is_recurrent=any(shape.has(key) for key in ("ssm.state_size", "wkv.head_size", "shortconv.l_cache")),
        is_latent=shape.has("attention.kv_lora_rank"),
        tensor_count=tensors,
        layer_bytes=weights[0],
        other_bytes=weights[1],
        chat_template=facts.text("tokenizer.chat_template"),
    )


def _others(path: Path, facts: _Facts) -> Iterator[Path]:
    """The further files of a model that comes in several."""
    count, number = facts.number("split.count", SPLITS_MAX), facts.number("split.no", SPLITS_MAX)
    if count < 2:
        return
    if number != 0:
        raise BrokenGguf(f"is part {number + 1} of {count}; name the first one")
    named = _SPLIT_NAME.fullmatch(path.name)
    if named is None or int(named[3]) != count:
        raise BrokenGguf(f"is the first of {count} files, and not called NAME-00001-of-{count:05}.gguf")
    for index in range(2, count + 1):
        other = path.with_name(f"{named[1]}-{index:05}-of-{count:05}.gguf")
        if not other.is_file():
            raise BrokenGguf(f"comes in {count} files, of which {other.name} is missing")
        yield other
