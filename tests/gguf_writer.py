"""Writes GGUF files, version 3: metadata and tensors as llama.cpp reads them. For models that tests make up."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Value: TypeAlias = str | bool | int | float | list[str] | list[int] | list[float]
Array: TypeAlias = NDArray[np.float32] | NDArray[np.float16]
Tensors: TypeAlias = Mapping[str, Array]

_ALIGNMENT = 32
_INT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _UINT32 = 5, 6, 7, 8, 9, 4
_F32, _F16 = 0, 1


def write_gguf(path: Path, metadata: Mapping[str, Value], tensors: Tensors) -> Path:
    """The path, once a file is there that holds these. A tensor's first axis is its rows, as NumPy has it."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    head += [_string(key) + _value(value) for key, value in metadata.items()]
    head += _directory(tensors)
    start = b"".join(head)
    with path.open("wb") as file:
        file.write(start + bytes(-len(start) % _ALIGNMENT))
        for array in tensors.values():
            data = array.tobytes()
            file.write(data + bytes(-len(data) % _ALIGNMENT))
    return path


def _directory(tensors: Tensors) -> Iterator[bytes]:
    """Each tensor's name, axes (the fastest first), element kind and place."""
    offset = 0
    for name, array in tensors.items():
        axes = array.shape[::-1]
        kind = _F16 if array.dtype == np.float16 else _F32
        yield _string(name) + struct.pack(f"<I{len(axes)}QIQ", len(axes), *axes, kind, offset)
        offset += array.nbytes + -array.nbytes % _ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    if isinstance(value, list):
        kinds, items = zip(*map(_element, value), strict=True)
        return struct.pack("<IIQ", _ARRAY, kinds[0], len(value)) + b"".join(items)
    kind, data = _scalar(value)
    return struct.pack("<I", kind) + data


def _element(value: str | float) -> tuple[int, bytes]:
    """llama.cpp wants whole numbers signed in arrays, and unsigned elsewhere."""
    return (_INT32, struct.pack("<i", value)) if isinstance(value, int) else _scalar(value)


def _scalar(value: str | float) -> tuple[int, bytes]:
    if isinstance(value, str):
        return _STRING, _string(value)
    if isinstance(value, bool):
        return _BOOL, struct.pack("<?", value)
    if isinstance(value, float):
        return _FLOAT32, struct.pack("<f", value)
    return _UINT32, struct.pack("<I", value)
