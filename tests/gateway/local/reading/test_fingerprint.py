from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.local.frames import Load, Tuning
from gateway.local.reading.fingerprint import fingerprints
from tests.tiny_gguf import TextShape, tiny_adapter, tiny_text_model

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_the_same_for_the_same_files_wherever_they_lie(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    here, there = tiny_text_model(tmp_path), tiny_text_model(tmp_path / "other")
    assert fingerprints(Load(str(here)), "1") == fingerprints(Load(str(there)), "1")


def test_whatever_cells_depend_on_makes_another(tmp_path: Path) -> None:
    path = tiny_text_model(tmp_path)
    adapters = (("poet", str(tiny_adapter(tmp_path))),)
    load = Load(str(path), adapters=adapters)
    tuning = msgspec.structs.replace
    other = tiny_adapter(tmp_path, TextShape(seed=2), name="other.gguf")
    found = [
        fingerprints(load, "1"),
        fingerprints(load, "2"),
        fingerprints(tuning(load, tuning=Tuning(kv_type="q8_0")), "1"),
        fingerprints(Load(str(tiny_text_model(tmp_path, TextShape(seed=9), name="x.gguf")), adapters=adapters), "1"),
    ]
    assert len({one[None] for one in found} | {one["poet"] for one in found}) == 2 * len(found)
    changed = fingerprints(tuning(load, adapters=(("poet", str(other)),)), "1")
    assert changed[None] == found[0][None]
    assert changed["poet"] != found[0]["poet"]


def test_a_large_file_is_told_by_samples(tmp_path: Path) -> None:
    path = tiny_text_model(tmp_path, TextShape(width=256, feed_forward=2048, layers=4))
    before = fingerprints(Load(str(path)), "1")
    data = bytearray(path.read_bytes())
    assert len(data) > 4 << 20
    for at in range(len(data) // 2, len(data), 4000):
        data[at] ^= 1
    path.write_bytes(bytes(data))
    assert fingerprints(Load(str(path)), "1") != before
