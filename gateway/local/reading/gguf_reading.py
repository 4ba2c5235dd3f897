"""GGUF, the format of llama.cpp's model files, read up to its weights: values by key, and what lies where behind them.

A model file is a download, so nothing in it is believed: every length is held against a bound and against what is left
of the file before anything is read or kept. Source: ggml's docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

MAGIC: Final = b"GGUF"
HEAD_BYTES_MAX: Final = 256 << 20
KEYS_MAX: Final = 65_536
TENSORS_MAX: Final = 262_144
ARRAY_ITEMS_MAX: Final = 16_777_216
STRING_BYTES_MAX: Final = 16 << 20
KEY_BYTES_MAX: Final = 1024
NAME_BYTES_MAX: Final = 64
DIMENSIONS_MAX: Final = 4
KEPT_ITEMS_MAX: Final = 4096
"""Longer arrays are vocabularies: they are counted and passed over."""
_WINDOW_BYTES: Final = 1 << 20

_STRING, _ARRAY = 8, 9
_SCALARS: Final = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip

# Elements and bytes of one block, by ggml's number of the type.
BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip


class BrokenGguf(ValueError):  # noqa: N818 - it names what is broken
    """A file that is no GGUF, or a damaged or a malicious one; the message says in what."""


class Counted(NamedTuple):
    """An array that was too long to keep: how many items it has."""

    items: int


Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...] | Counted


class Tensor(NamedTuple):
    """One tensor's name, its shape, how many bytes of the file are its, and ggml's number of their type."""

    name: str
    shape: tuple[int, ...]
    size_bytes: int
    kind: int = 0


@dataclass(frozen=True, slots=True)
class Gguf:
    """One file without its weights. `kinds` are the format's numbers of what type each value has."""

    version: int
    values: dict[str, Value] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    kinds: dict[str, int] = field(default_factory=dict)


def read_gguf(path: Path) -> Gguf:
    """What stands before the weights. Raises `BrokenGguf`, and `OSError` where there is nothing to read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        return _read(_Head(file, size))


class _Head:
    """The beginning of a file, read forward only, through a window."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file_bytes = size
        self._file = file
        self._window = b""
        self._at = 0
        self._before = 0

    @property
    def position(self) -> int:
        return self._before + self._at

    @property
    def left(self) -> int:
        return min(self.file_bytes, HEAD_BYTES_MAX) - self.position

    def take(self, count: int) -> bytes:
        if count > len(self._window) - self._at:
            self._fill(count)
        start = self._at
        self._at += count
        return self._window[start : self._at]

    def number(self, form: str = "<Q") -> int:
        number: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return number

    def count(self, what: str, most: int, least_bytes: int = 1) -> int:
        """A number of things that must fit into what is left, each in at least so many bytes."""
        number = self.number()
        if number > most or number * least_bytes > self.left:
            raise BrokenGguf(f"claims {number} {what}, more than there can be")
        return number

    def text(self, what: str, most: int) -> str:
        length = self.count(f"bytes of {what}", most)
        return self.take(length).decode(errors="replace")

    def skip_texts(self, count: int) -> None:
        """Pass over strings, as many as a vocabulary has, without making any of them."""
        unpack = struct.Struct("<Q").unpack_from
        window, at, end = self._window, self._at, len(self._window)
        for _ in range(count):
            if at + 8 > end:
                window, at, end = self._moved(at, 8)
            (length,) = unpack(window, at)
            at += 8 + length
            if at > end:
                if length > STRING_BYTES_MAX:
                    raise BrokenGguf(f"claims {length} bytes of one string, more than there can be")
                window, at, end = self._moved(at - length, length)
                at += length
        self._at = at

    def _moved(self, at: int, count: int) -> tuple[bytes, int, int]:
        self._at = at
        self._fill(count)
        return self._window, self._at, len(self._window)

    def _fill(self, count: int) -> None:
        """Have at least `count` bytes ahead."""
        if count > self.left:
            raise BrokenGguf("ends, or goes on too long, before its weights begin")
        rest = self._window[self._at :]
        more = self._file.read(max(count - len(rest), _WINDOW_BYTES))
        self._before += self._at
        self._window, self._at = rest + more, 0
        if count > len(self._window):
            raise BrokenGguf("became shorter while it was read")


def _read(head: _Head) -> Gguf:
    if head.left < len(MAGIC) or head.take(len(MAGIC)) != MAGIC:
        raise BrokenGguf("is not a GGUF file")
    version = head.number("<I")
    if version not in (2, 3):
        raise BrokenGguf(f"has GGUF version {_shown_version(version)}; versions 2 and 3 can be read")
    tensor_count = head.count("tensors", TENSORS_MAX, 24)
    key_count = head.count("keys", KEYS_MAX, 13)
    values: dict[str, Value] = {}
    kinds: dict[str, int] = {}
    for _ in range(key_count):
        key = head.text("a key", KEY_BYTES_MAX)
        if key in values:
            raise BrokenGguf(f"has the key {key[:64]!r} twice")
        kinds[key] = head.number("<I")
        values[key] = _value(head, kinds[key], key)
    return Gguf(version, values, _tensors(head, tensor_count, values.get("general.alignment", 32)), kinds)


def _shown_version(version: int) -> str:
    return "of another byte order" if version & 0xFFFF == 0 else str(version)


def _value(head: _Head, kind: int, key: str) -> Value:
    if kind == _STRING:
        return head.text("one string", STRING_BYTES_MAX)
    if kind == _ARRAY:
        return _array(head, key)
    form = _SCALARS.get(kind)
    if form is None:
        raise BrokenGguf(f"has a value of unknown type {kind} at {key[:64]!r}")
    scalar: Scalar = struct.unpack(form, head.take(struct.calcsize(form)))[0]
    return scalar


def _array(head: _Head, key: str) -> Value:
    kind = head.number("<I")
    if kind == _STRING:
        count = head.count("strings in one array", ARRAY_ITEMS_MAX, 8)
        if count > KEPT_ITEMS_MAX:
            head.skip_texts(count)
            return Counted(count)
        return tuple(head.text("one string", STRING_BYTES_MAX) for _ in range(count))
    form = _SCALARS.get(kind)
    if form is None:
        raise BrokenGguf(f"has an array of unknown type {kind} at {key[:64]!r}")
    width = struct.calcsize(form)
    count = head.count("items in one array", ARRAY_ITEMS_MAX, width)
    if count <= KEPT_ITEMS_MAX:
        return struct.unpack(f"<{count}{form[1]}", head.take(count * width))
    for start in range(0, count, _WINDOW_BYTES):
        head.take(min(_WINDOW_BYTES, count - start) * width)
    return Counted(count)


class _Placed(NamedTuple):
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


def _tensors(head: _Head, count: int, alignment: Value) -> tuple[Tensor, ...]:
    placed = [_tensor(head) for _ in range(count)]
    if len({one.name for one in placed}) != count:
        raise BrokenGguf("has two tensors of one name")
    if isinstance(alignment, bool) or not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise BrokenGguf("has an alignment that is none")
    start = -(-head.position // alignment) * alignment
    room = head.file_bytes - start
    sizes = _sizes(placed, room)
    return tuple(Tensor(one.name, one.shape, size, one.kind) for one, size in zip(placed, sizes, strict=True))


def _tensor(head: _Head) -> _Placed:
    name = head.text("a tensor's name", NAME_BYTES_MAX)
    dimensions = head.number("<I")
    if dimensions > DIMENSIONS_MAX:
        raise BrokenGguf(f"has a tensor of {dimensions} dimensions")
    shape = struct.unpack(f"<{dimensions}q", head.take(8 * dimensions))
    if any(size <= 0 for size in shape) or prod(shape) >= 1 << 63:
        raise BrokenGguf(f"has a tensor of impossible shape at {name!r}")
    return _Placed(name, shape, head.number("<I"), head.number())


def _sizes(placed: list[_Placed], room: int) -> list[int]:
    """Bytes of each. A type that is not known takes all up to the next one."""
    borders = sorted({one.offset for one in placed} | {max(room, 0)})
    following = dict(pairwise(borders))
    sizes = []
    for one in placed:
        block = BLOCKS.get(one.kind)
        unknown = max(0, following.get(one.offset, 0) - one.offset)
        size = unknown if block is None else prod(one.shape) // block[0] * block[1]
        if one.offset + size > room:
            raise BrokenGguf(f"ends before the weights at {one.name!r} do: it was cut off, or not loaded whole")
        sizes.append(size)
    return sizes
