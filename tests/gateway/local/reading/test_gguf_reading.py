"""GGUF files, whole and hostile."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.local.reading import gguf_reading
from gateway.local.reading.gguf_reading import BrokenGguf, Counted, read_gguf
from tests.gguf_writer import write_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.local.reading.gguf_reading import Gguf

MANY = 1 << 40


def text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def head(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def key(kind: int, value: bytes, name: bytes = b"k") -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + items


def tensor(name: bytes = b"t", shape: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}qIQ", len(shape), *shape, kind, offset)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.gguf"


def read(file: Path, data: bytes) -> Gguf:
    file.write_bytes(data)
    return read_gguf(file)


def test_values_and_tensors_come_out_as_they_went_in(file: Path) -> None:
    write_gguf(
        file,
        {"a": "text", "b": True, "c": 7, "d": 0.5, "e": ["x", "yz"], "f": [1, 2]},
        {"w": np.zeros((3, 32), np.float16), "v": np.zeros(5, np.float32)},
    )
    found = read_gguf(file)
    assert (found.version, found.values) == (
        3,
        {"a": "text", "b": True, "c": 7, "d": 0.5, "e": ("x", "yz"), "f": (1, 2)},
    )
    assert [tuple(one) for one in found.tensors] == [("w", (32, 3), 192, 1), ("v", (5,), 20, 0)]
    assert found.kinds == {"a": 8, "b": 7, "c": 4, "d": 6, "e": 9, "f": 9}


def test_vocabularies_are_counted(file: Path) -> None:
    words = [f"word {number}" * (number % 50) for number in range(100_000)]
    write_gguf(file, {"tokens": words, "kinds": list(range(5000)), "after": 1}, {})
    assert read_gguf(file).values == {"tokens": Counted(100_000), "kinds": Counted(5000), "after": 1}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a GGUF"),
        (b"GGML" + bytes(100), "not a GGUF"),
        (b"GGUF", "ends"),
        (head(version=1), "version 1"),
        (head(version=3 << 24), "byte order"),
        (head(tensors=MANY), f"claims {MANY} tensors"),
        (head(keys=MANY), f"claims {MANY} keys"),
        (head(keys=9), "claims 9 keys"),
        (head(keys=1) + struct.pack("<Q", MANY) + bytes(64), "bytes of a key"),
        (head(keys=1) + key(8, struct.pack("<Q", (1 << 64) - 1)) + bytes(64), "bytes of one string"),
        (head(keys=1) + key(99, bytes(64)), "unknown type 99"),
        (head(keys=1) + key(9, array(99, 1, bytes(64))), "array of unknown type"),
        (head(keys=1) + key(9, array(9, 1, bytes(64))), "array of unknown type 9"),
        (head(keys=1) + key(9, array(4, MANY)) + bytes(64), "items in one array"),
        (head(keys=1) + key(9, array(8, MANY)) + bytes(64), "strings in one array"),
        (head(keys=1) + key(9, array(8, 5000, struct.pack("<Q", MANY) + bytes(40_000))), "one string"),
        (head(keys=1) + key(9, array(8, 5000, bytes(16) + b"\xff" * 8 + bytes(40_000))), "one string"),
        (head(keys=2) + key(4, bytes(4)) + key(4, bytes(4)), "the key 'k' twice"),
        (head(keys=2) + key(4, bytes(4)) + key(4, b"", b"l"), "ends"),
        (head(tensors=1) + tensor(shape=(1, 1, 1, 1, 1)), "5 dimensions"),
        (head(tensors=1) + tensor(shape=(-4,)), "impossible shape"),
        (head(tensors=1) + tensor(shape=(0,)), "impossible shape"),
        (head(tensors=1) + tensor(shape=(1 << 40, 1 << 40)), "impossible shape"),
        (head(tensors=1) + tensor(name=b"t" * 65) + bytes(64), "bytes of a tensor's name"),
        (head(tensors=1) + tensor(), "cut off"),
        (head(tensors=1) + tensor(offset=1 << 62) + bytes(64), "cut off"),
        (head(tensors=2) + tensor() + tensor() + bytes(64), "two tensors of one name"),
        (head(tensors=1, keys=1) + key(4, bytes(4), b"general.alignment") + tensor() + bytes(64), "alignment"),
        (head(tensors=1, keys=1) + key(8, text(b"x"), b"general.alignment") + tensor() + bytes(64), "alignment"),
    ],
)
def test_what_is_wrong_is_said(file: Path, data: bytes, why: str) -> None:
    with pytest.raises(BrokenGguf, match=why):
        read(file, data)


def test_a_type_of_tomorrow_takes_all_up_to_the_next_tensor(file: Path) -> None:
    data = head(tensors=2) + tensor(b"a", kind=77) + tensor(b"b", offset=64)
    found = read(file, data + bytes(-len(data) % 32 + 64 + 16))
    assert [one.size_bytes for one in found.tensors] == [64, 16]


def test_no_more_is_read_than_a_head_may_have(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_reading, "HEAD_BYTES_MAX", 1000)
    with pytest.raises(BrokenGguf, match="claims"):
        read(file, head(keys=1) + key(9, array(4, 500, bytes(2000))))


@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("damaged") / "x.gguf"
    write_gguf(file, {"a": "text", "b": [1, 2], "c": ["x"], "d": 1.5}, {"w": np.zeros((2, 32), np.float32)})
    good = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        found = read_gguf(file)
    except BrokenGguf:
        return
    assert sum(one.size_bytes for one in found.tensors) <= len(good)
